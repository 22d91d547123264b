"""Entries: what is written is read, and what an eviction would pass by is refused."""

import pytest

from services.shared.keyspace.entry import MAX_NAMES, StoredEntry, entry_arguments, parse_entry
from services.shared.keyspace.tags import entry_tag, occurrence_tags, shape_tag
from services.shared.lsn import Lsn
from services.shared.position import Position
from services.shared.relation import Shape, ShapeColumn, relation_of_tag, relation_tag, value_tag

SHAPE = Shape(5, (ShapeColumn("name", 25), ShapeColumn("id", 23)))
TAGS = occurrence_tags(SHAPE, [b"a\nb", b"7"])
Q0 = (Position(Lsn(2**63), 2), Position(Lsn(3), 4))


def test_an_entry_survives_the_way_to_redis_and_back() -> None:
    entry = StoredEntry(Q0, (*TAGS, relation_tag(6)), (5, 6), (SHAPE.id,), b"\x00\n\xff", filled_at=1.5)
    fields = [part if isinstance(part, bytes) else part.encode() for part in entry_arguments(entry)]
    assert parse_entry(*fields) == entry


def test_shapes_without_columns_are_not_stored() -> None:
    entry = StoredEntry(Q0, (relation_tag(5),), (5,), (Shape(5).id,), b"")
    assert entry_arguments(entry)[3] == ""


def test_a_tag_without_its_relation_is_refused() -> None:
    with pytest.raises(ValueError, match="without its relation"):
        StoredEntry(Q0, (relation_tag(5), relation_tag(6)), (5,), (), b"")


def test_a_shape_without_its_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="without a tag of it"):
        StoredEntry(Q0, TAGS[:1], (5,), (SHAPE.id,), b"")


def test_the_tag_of_answers_that_show_their_keys_stands_for_that_of_the_shape() -> None:
    StoredEntry(Q0, (entry_tag(SHAPE),), (5,), (SHAPE.id,), b"")


def test_every_shape_but_that_of_a_whole_relation_has_to_be_registered() -> None:
    watching = (Shape(5, watched=()), Shape(5, watched=("a",)), Shape(5, ranged=ShapeColumn("a", 23)))
    tags = (relation_tag(5), *map(shape_tag, watching))
    entry = StoredEntry(Q0, tags, (5,), (Shape(5).id, *(shape.id for shape in watching)), b"")
    assert entry_arguments(entry)[3] == "\n".join(shape.id for shape in watching)


def test_too_many_tags_are_refused() -> None:
    tags = tuple(f"5:{number:x}" for number in range(MAX_NAMES + 1))
    with pytest.raises(ValueError, match="more than"):
        StoredEntry(Q0, tags, (5,), (), b"")


def test_an_occurrence_carries_its_values_and_its_shape() -> None:
    assert occurrence_tags(SHAPE, [b"a", b"1"]) == (value_tag(SHAPE, [b"a", b"1"]), shape_tag(SHAPE))
    assert occurrence_tags(Shape(5), []) == (relation_tag(5),) == (shape_tag(Shape(5)),)
    assert {relation_of_tag(tag) for tag in TAGS} == {5}
    assert shape_tag(SHAPE) != shape_tag(Shape(5, SHAPE.columns[:1]))
