"""Row messages as row changes."""

from hashlib import sha256

import pytest

from schemas.fields import HashedValue
from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import (
    UNCHANGED,
    Column,
    Delete,
    Insert,
    Relation,
    ReplicaIdentity,
    RowMessage,
    Update,
)
from services.cdc.rows import CARRIED_BYTES, RowWriter

KEYED = Relation(
    7,
    "public",
    "t",
    ReplicaIdentity.DEFAULT,
    (Column("id", 23, -1, True), Column("a", 25, -1, False), Column("b", 25, -1, False)),
)
FULL = Relation(7, "public", "t", ReplicaIdentity.FULL, (Column("id", 23, -1, True), Column("a", 25, -1, True)))


def write(relation: Relation, row: RowMessage, hashed: str = "") -> dict[str, object]:
    change = RowWriter(relation, frozenset({hashed})).write(row)
    assert type(change).model_validate(change.model_dump()) == change  # it is what its model promises
    return change.model_dump()


def test_an_insert_gives_the_new_row() -> None:
    assert write(KEYED, Insert(7, ("1", "x", None))) == {
        "op": "insert",
        "key": {"id": "1"},
        "changed": [],
        "old": None,
        "new": {"id": "1", "a": "x", "b": None},
        "unchanged_toast": [],
    }


def test_an_update_without_an_old_row_may_have_changed_all_but_the_key_and_what_was_not_sent() -> None:
    change = write(KEYED, Update(7, None, False, ("1", "x", UNCHANGED)))
    assert change["changed"] == ["a"]
    assert (change["key"], change["old"]) == ({"id": "1"}, None)
    assert (change["new"], change["unchanged_toast"]) == ({"id": "1", "a": "x"}, ["b"])


def test_an_update_of_the_key_gives_the_old_key_and_not_the_filler_beside_it() -> None:
    change = write(KEYED, Update(7, ("1", None, None), True, ("2", "x", "y")))
    assert (change["old"], change["key"]) == ({"id": "1"}, {"id": "2"})
    assert change["changed"] == ["id", "a", "b"]


def test_an_old_key_that_is_given_although_it_is_the_same_has_not_changed() -> None:
    assert write(KEYED, Update(7, ("1", None, None), True, ("1", "x", "y")))["changed"] == ["a", "b"]


def test_with_the_whole_old_row_what_changed_is_known() -> None:
    change = write(FULL, Update(7, ("1", "x"), False, ("1", "y")))
    assert (change["changed"], change["old"], change["new"]) == (["a"], {"id": "1", "a": "x"}, {"id": "1", "a": "y"})
    assert change["key"] is None


def test_what_was_not_sent_again_is_taken_from_the_whole_old_row() -> None:
    change = write(FULL, Update(7, ("1", "x" * 10), False, ("2", UNCHANGED)))
    assert (change["new"], change["unchanged_toast"]) == ({"id": "2", "a": "x" * 10}, [])
    assert change["changed"] == ["id"]


def test_a_key_column_that_was_not_sent_leaves_the_key_unknown() -> None:
    assert write(KEYED, Update(7, None, False, (UNCHANGED, "x", "y")))["key"] is None


@pytest.mark.parametrize(
    ("relation", "row", "old"),
    [
        (KEYED, Delete(7, ("1", None, None), True), {"id": "1"}),
        (FULL, Delete(7, ("1", None), False), {"id": "1", "a": None}),
    ],
)
def test_a_delete_gives_what_is_known_of_the_old_row(relation: Relation, row: Delete, old: dict[str, str]) -> None:
    change = write(relation, row)
    assert (change["op"], change["old"], change["new"], change["changed"]) == ("delete", old, None, [])


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        ("x" * CARRIED_BYTES, True),
        ("x" * (CARRIED_BYTES + 1), False),
        ("é" * 128, True),
        ("é" * 129, False),
        ("", True),
    ],
)
def test_a_value_over_256_bytes_is_carried_as_its_hash(value: str, carried: bool) -> None:
    change = RowWriter(KEYED, frozenset()).write(Insert(7, ("1", value, None)))
    data = value.encode()
    expected = value if carried else HashedValue(length=len(data), sha256=sha256(data).hexdigest())
    assert change.new is not None
    assert change.new["a"] == expected


def test_a_column_that_the_settings_hide_is_hashed_wherever_it_stands() -> None:
    change = RowWriter(KEYED, frozenset({"public.t.id"})).write(Update(7, ("1", None, None), True, ("2", "x", None)))
    for row in (change.key, change.old, change.new):
        assert row is not None
        assert isinstance(row["id"], HashedValue)
    assert change.new is not None
    assert change.new["a"] == "x"


def test_a_null_stays_null_even_where_values_are_hidden() -> None:
    assert write(KEYED, Insert(7, ("1", None, None)), "public.t.a")["new"] == {"id": "1", "a": None, "b": None}


def test_a_binary_value_is_an_error() -> None:
    with pytest.raises(PgoutputError):
        RowWriter(KEYED, frozenset()).write(Insert(7, ("1", b"x", None)))
