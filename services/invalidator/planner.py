"""What a row change evicts: from events and registered shapes to tags. Pure.

A row version can only alter an answer if it satisfies what the answer's statement demands of that relation, which a tag
states as equalities. So a change evicts the tags of the row before and of the row after; the relation's own tag
always; and wherever a value is unknown, or has no canonical form, the tag of the whole shape. What cannot be known
widens, never narrows.

A shape may watch columns: an update that left all of them alone cannot alter its answers. What the event calls changed
is every column that may have.

What is known of the row before follows from the replica identity. DEFAULT and INDEX give its key columns, and only when
they changed (else they are those of the row after); FULL gives all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue, Row
from services.shared.keyspace.canonical import canonical_hashed, canonical_text
from services.shared.keyspace.tags import shape_tag
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag

MAX_TAGS_PER_RECORD = 2_000
"""More in one record evict the relation as a whole: the script holds Redis up for about a microsecond a tag."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evict: tags, and whether all of the relation."""

    tags: tuple[str, ...]
    wide: bool = False


def plan_changes(event: Changes, shapes: Sequence[Shape]) -> Plan:
    """Return what one transaction's changes of a relation evict.

    Args:
        event: The changes.
        shapes: The relation's registered shapes.
    """
    tags = {relation_tag(event.relation): None}
    key_columns = frozenset(event.key_columns)
    matched = [_Matched(shape, key_columns) for shape in shapes]
    for row in event.rows:
        images = row_images(row, key_columns)
        for shape in matched:
            if row.op == "update" and shape.ignores(row):
                continue
            # Without an old row its key is that of the new one, and gives the same tag.
            for image in images[-1:] if shape.by_key and row.old is None else images:
                tag = _tag(shape.shape, image)
                if tag is not None:
                    tags[tag] = None
        if len(tags) > MAX_TAGS_PER_RECORD:
            return plan_wide(event.relation)
    return Plan(tuple(tags))


class _Matched:
    """A shape, prepared for many rows.

    Attributes:
        shape: The shape.
        by_key: Whether the replica identity gives all of its columns.
    """

    __slots__ = ("_watched", "by_key", "shape")

    def __init__(self, shape: Shape, key_columns: frozenset[str]) -> None:
        self.shape = shape
        self.by_key = all(column.name in key_columns for column in shape.columns)
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


def _tag(shape: Shape, image: Mapping[str, str | HashedValue | None]) -> str | None:
    """Return the tag that a row version carries in a shape; None if it satisfies no equality (a value is NULL)."""
    if not shape.columns:
        return shape_tag(shape)
    values: list[bytes] = []
    unknown = False
    for column in shape.columns:
        if column.name not in image:
            unknown = True
            continue
        value = image[column.name]
        if value is None:
            return None
        form = _form(column, value)
        if form is None:
            unknown = True
        else:
            values.append(form)
    return shape_tag(shape) if unknown else value_tag(shape, values)


def _form(column: ShapeColumn, value: str | HashedValue) -> bytes | None:
    if isinstance(value, HashedValue):
        return canonical_hashed(column.type_oid, value.length, value.sha256)
    return canonical_text(column.type_oid, value)
