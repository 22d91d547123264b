"""What a tag stands for, as far as the change that evicted it tells. Pure.

A tag is a digest; nothing leads back from it. But the change that evicted it is in the log, and the shapes that it was
matched with are in the bucket: so the tags that can have come of it are made again, and those that were evicted are
known by name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue
from services.shared.keyspace.canonical import canonical_hashed, canonical_text
from services.shared.keyspace.tags import shape_tag
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag
from services.tail.changes import table_of
from services.tail.values import HiddenColumns, Value, Values, shown_values

ALL_ROWS = "reads of all rows"


def tag_names(
    tags: Sequence[str], relations: Iterable[int], shapes: Iterable[Shape], event: Changes | None, hidden: HiddenColumns
) -> list[str]:
    """Name evicted tags.

    Args:
        tags: The tags.
        relations: The relations that they belong to.
        shapes: Those of these relations.
        event: The change, if it is known.
        hidden: Columns that are shown as hashes.

    Returns:
        A name for each that has one, in the order of the tags.
    """
    shapes = [shape for shape in shapes if shape.columns]
    names = {relation_tag(relation): ALL_ROWS for relation in relations}
    names |= {shape_tag(shape): _any_of(shape) for shape in shapes}
    if event is not None:
        for row in event.rows:
            names |= _value_names(table_of(event), row, shapes, hidden)
    return [names[tag] for tag in tags if tag in names]


def _any_of(shape: Shape) -> str:
    return f"any {','.join(column.name for column in shape.columns)}"


def _value_names(table: str, row: RowChange, shapes: Sequence[Shape], hidden: HiddenColumns) -> dict[str, str]:
    """Name the tags that the versions of a row carry."""
    names = {}
    for values in _versions(row):
        for shape in shapes:
            tag = _tag(shape, values)
            if tag is not None:
                held = {column.name: values[column.name] for column in shape.columns}
                names[tag] = shown_values(hidden.apply(table, held) or {})
    return names


def _versions(row: RowChange) -> Iterator[Values]:
    """Yield what is known of a row, before and after."""
    if row.old is not None:
        yield row.old
    if row.key is not None:
        yield row.key
    if row.new is not None:
        before: Mapping[str, Value] = row.old or {}
        yield row.new | {name: before[name] for name in row.unchanged_toast if name in before}


def _tag(shape: Shape, values: Values) -> str | None:
    """Return the tag of a row in a shape; None if the row does not say all that it takes."""
    forms = []
    for column in shape.columns:
        value = values.get(column.name)
        form = None if value is None else _form(column, value)
        if form is None:
            return None
        forms.append(form)
    return value_tag(shape, forms)


def _form(column: ShapeColumn, value: str | HashedValue) -> bytes | None:
    if isinstance(value, HashedValue):
        return canonical_hashed(column.type_oid, value.length, value.sha256)
    return canonical_text(column.type_oid, value)
