"""What a row change evicts: from events and registered shapes to tags. Pure.

A row version can only alter an answer if it satisfies what the answer's statement demands of that relation, which a tag
states as equalities, or as a block of values. So a change evicts the tags of the row before and of the row after; the
relation's own tag always; and wherever a value is unknown, or has no canonical form, the tag of the whole shape. What
cannot be known widens, never narrows.

A shape may watch columns: an update that left all of them alone cannot alter its answers. What the event calls changed
is every column that may have, but for generated ones: those are not told. So an update to the same values still evicts
answers of shapes that watch none, in which a generated column may stand; it is computed anew, by a function that may
have been replaced.

What is known of the row before follows from the replica identity. DEFAULT and INDEX give its key columns, and only when
they changed (else they are those of the row after); FULL gives all.

Where only the row before is unknown, answers that show the keys of all their rows are left alone: the key of the row is
known, or the tag of all keys is evicted. Their *entry tag* is evicted where the row after is unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue, Row
from services.shared.keyspace.canonical import canonical_hashed, canonical_text
from services.shared.keyspace.intervals import blocks_of
from services.shared.keyspace.order_keys import key_of_row_value
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag, value_tags

MAX_TAGS_PER_RECORD = 2_000
"""More in one record evict the relation as a whole: the script holds Redis up for about a microsecond a tag."""

MAX_TAGS_PER_SHAPE = 1_000
"""More of one shape evict all of its answers: a range has up to 32 tags for each row."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evict: tags, and whether all of the relation."""

    tags: tuple[str, ...]
    wide: bool = False


def plan_changes(event: Changes, shapes: Sequence[Shape], *, ranges_as_a_whole: bool = False) -> Plan:
    """Return what one transaction's changes of a relation evict.

    Args:
        event: The changes.
        shapes: The relation's registered shapes.
        ranges_as_a_whole: Evict all answers of shapes with a range: few tags, instead of many for each row.
    """
    tags = {relation_tag(event.relation): None}
    key_columns = frozenset(event.key_columns)
    rows = [(row, row_images(row, key_columns)) for row in event.rows]
    for shape in shapes:
        most = 0 if ranges_as_a_whole and shape.ranged is not None else MAX_TAGS_PER_SHAPE
        tags.update(_shape_tags(_Matched(shape, key_columns), rows, most))
        if len(tags) > MAX_TAGS_PER_RECORD:
            return plan_wide(event.relation)
    return Plan(tuple(tags))


def _shape_tags(matched: "_Matched", rows: Sequence[tuple[RowChange, tuple[Row, ...]]], most: int) -> dict[str, None]:
    """Return the tags that the versions of changed rows carry in a shape, or its own where they are too many."""
    shape = matched.shape
    tags: dict[str, None] = {}
    for row, images in rows:
        if row.op == "update" and matched.ignores(row):
            continue
        # Without an old row its key is that of the new one, and gives the same tag.
        for image in images[-1:] if matched.by_key and row.old is None else images:
            found = _tags(shape, image)
            if found is not None:
                tags.update(dict.fromkeys(found))
                continue
            tags[shape_tag(shape)] = None
            if image is images[-1] and row.op != "delete":
                tags[entry_tag(shape)] = None
        if len(tags) > most:
            return dict.fromkeys((shape_tag(shape), entry_tag(shape)))
    return tags


class _Matched:
    """A shape, prepared for many rows.

    Attributes:
        shape: The shape.
        by_key: Whether the replica identity gives all of its columns.
    """

    __slots__ = ("_watched", "by_key", "shape")

    def __init__(self, shape: Shape, key_columns: frozenset[str]) -> None:
        self.shape = shape
        self.by_key = all(column.name in key_columns for column in shape.named)
        self._watched = None if shape.watched is None else frozenset(shape.watched)

    def ignores(self, row: RowChange) -> bool:
        """Tell whether an update touches nothing that the shape's statements look at."""
        return self._watched is not None and self._watched.isdisjoint(row.changed)


def plan_wide(relation: int) -> Plan:
    """Return the plan that evicts all of a relation."""
    return Plan((relation_tag(relation),), wide=True)


def row_images(row: RowChange, key_columns: frozenset[str]) -> tuple[Row, ...]:
    """Return the versions of a row that a change touches, each with the values that are known of it."""
    if row.op == "insert":
        return (row.new or {},)
    if row.op == "delete":
        return (row.old or row.key or {},)
    after = _after(row)
    return (_before(row, after, key_columns), after)


def _after(row: RowChange) -> Row:
    """Return the row after an update. What was not sent because it is long and unchanged may stand in the old row."""
    after = row.new or {}
    before = row.old or {}
    unchanged = {name: before[name] for name in row.unchanged_toast if name in before}
    return {**after, **unchanged} if unchanged else after


def _before(row: RowChange, after: Row, key_columns: frozenset[str]) -> Row:
    """Return what is known of the row before an update."""
    if row.old is not None:
        return row.old
    return {name: value for name, value in after.items() if name in key_columns}


def _tags(shape: Shape, image: Row) -> tuple[str, ...] | None:
    """Return the tags that a row version carries in a shape; None where that cannot be told.

    It has none if it satisfies no condition, since a value is NULL.
    """
    if not shape.named:
        return (shape_tag(shape),)
    if any(image.get(column.name, "") is None for column in shape.named):
        return ()
    forms = [_form(column, image) for column in shape.columns]
    known = [form for form in forms if form is not None]
    if len(known) != len(forms):
        return None
    if shape.ranged is None:
        return (value_tag(shape, known),)
    key = _key(shape.ranged, image)
    return None if key is None else tuple(value_tags(shape, [(*known, block) for block in blocks_of(key)]))


def _form(column: ShapeColumn, image: Row) -> bytes | None:
    """Return the canonical form of a column's value; None if the value is unknown, or has none."""
    value = image.get(column.name)
    if isinstance(value, HashedValue):
        return canonical_hashed(column.type_oid, value.length, value.sha256)
    return None if value is None else canonical_text(column.type_oid, value)


def _key(column: ShapeColumn, image: Row) -> int | None:
    value = image.get(column.name)
    return key_of_row_value(column.type_oid, value) if isinstance(value, str) else None
