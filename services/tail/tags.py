"""What a tag stands for, and which row it comes of, as far as the change that evicted it tells. Pure.

A tag is a digest; nothing leads back from it. But the change that evicted it is in the log, and the shapes that it was
matched with are in the bucket: so the tags that can have come of each row are made again, and those that were evicted
are known by name and by row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue
from services.shared.keyspace.canonical import canonical_hashed, canonical_text
from services.shared.keyspace.intervals import blocks_of
from services.shared.keyspace.order_keys import key_of_row_value
from services.shared.keyspace.tag_words import ALL_ROWS, entry_words, range_words, shape_words
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag
from services.tail.changes import row_words, table_of
from services.tail.values import HiddenColumns, Value, Values, plain_values, shown_values

_KEPT_ROWS = 20  # that a tag names


@dataclass(slots=True)
class NamedTag:
    """An evicted tag that has a name.

    Attributes:
        tag: The tag.
        words: What it stands for.
        rows: Rows of the change that it comes of, in a few words each; empty where every change of the relation has it.
        keys: The same for programs: what happened, and the key as the log has it.
        more: How many rows there are beside those.
    """

    tag: str
    words: str
    rows: list[str] = field(default_factory=list)
    keys: list[dict[str, object]] = field(default_factory=list)
    more: int = 0

    def told(self, *, with_rows: bool) -> str:
        """Return the tag for a person."""
        if not with_rows or not self.rows:
            return self.words
        others = len(self.rows) + self.more - 1
        return f"{self.words} ({self.rows[0]}{f' and {others} more' if others else ''})"

    @property
    def facts(self) -> dict[str, object]:
        """Return the tag for a program."""
        return {"tag": self.tag, "words": self.words, "rows": self.keys, "more": self.more}


def named_tags(
    tags: Sequence[str],
    relations: Iterable[int],
    shapes: Iterable[Shape],
    event: Changes | None,
    hidden: HiddenColumns,
    most_rows: int | None = None,
) -> list[NamedTag]:
    """Name evicted tags.

    Args:
        tags: The tags.
        relations: The relations that they belong to.
        shapes: Those of these relations.
        event: The change, if it is known.
        hidden: Columns that are shown as hashes.
        most_rows: How many of its rows are looked at; None: all.

    Returns:
        One for each that has a name, in the order of the tags.
    """
    shapes = [shape for shape in shapes if not shape.is_whole_relation]
    names = {tag: NamedTag(tag, ALL_ROWS) for tag in map(relation_tag, relations)}
    names |= {tag: NamedTag(tag, shape_words(shape)) for shape in shapes if (tag := shape_tag(shape)) not in names}
    names |= {tag: NamedTag(tag, entry_words(shape)) for shape in shapes if (tag := entry_tag(shape))}
    if event is not None:
        _name_by_rows(names, frozenset(tags), shapes, event, hidden, most_rows)
    return [names[tag] for tag in tags if tag in names]


def _name_by_rows(
    names: dict[str, NamedTag],
    wanted: frozenset[str],
    shapes: Sequence[Shape],
    event: Changes,
    hidden: HiddenColumns,
    most_rows: int | None,
) -> None:
    for row in event.rows[:most_rows]:
        for tag, words in _tags_of(event, row, shapes, hidden):
            if tag in wanted:
                _add(names.setdefault(tag, NamedTag(tag, words)), words, event, row, hidden)


def _add(named: NamedTag, words: str, event: Changes, row: RowChange, hidden: HiddenColumns) -> None:
    named.words = words
    if len(named.rows) == _KEPT_ROWS:
        named.more += 1
        return
    named.rows.append(row_words(event, row, hidden))
    named.keys.append({"operation": row.op, "key": plain_values(hidden.apply(table_of(event), row.key))})


def _tags_of(
    event: Changes, row: RowChange, shapes: Sequence[Shape], hidden: HiddenColumns
) -> Iterator[tuple[str, str]]:
    """Give the tags that the versions of a row carry, each once, with their words."""
    found: dict[str, str] = {}
    versions = list(_versions(row))
    for shape in shapes:
        if not shape.named:
            if row.op != "update" or not frozenset(shape.watched or ()).isdisjoint(row.changed):
                found[shape_tag(shape)] = shape_words(shape)
            continue
        for values in versions:
            held = {column.name: values[column.name] for column in shape.named if column.name in values}
            words = shown_values(hidden.apply(table_of(event), held) or {})
            tags = _value_tags(shape, values)
            found |= dict.fromkeys(tags, words if shape.ranged is None else range_words(shape, words))
        if untold := _untold(event, row, shape):
            found[shape_tag(shape)] = f"{shape_words(shape)} (old {','.join(untold)} not told)"
    yield from found.items()


def _untold(event: Changes, row: RowChange, shape: Shape) -> list[str]:
    """Return the columns of a shape of which a change does not tell the old value."""
    if row.op == "insert":
        return []
    known: Iterable[str] = event.key_columns if row.old is None and row.op == "update" else row.old or row.key or ()
    return [column.name for column in shape.named if column.name not in known]


def _versions(row: RowChange) -> Iterator[Values]:
    """Yield what is known of a row, before and after."""
    if row.old is not None:
        yield row.old
    if row.key is not None:
        yield row.key
    if row.new is not None:
        before: Mapping[str, Value] = row.old or {}
        yield row.new | {name: before[name] for name in row.unchanged_toast if name in before}


def _value_tags(shape: Shape, values: Values) -> list[str]:
    """Return the tags of a row in a shape; none if the row does not say all that they take."""
    forms = []
    for column in shape.columns:
        value = values.get(column.name)
        form = None if value is None else _form(column, value)
        if form is None:
            return []
        forms.append(form)
    if shape.ranged is None:
        return [value_tag(shape, forms)]
    value = values.get(shape.ranged.name)
    key = key_of_row_value(shape.ranged.type_oid, value) if isinstance(value, str) else None
    return [] if key is None else [value_tag(shape, (*forms, block)) for block in blocks_of(key)]


def _form(column: ShapeColumn, value: str | HashedValue) -> bytes | None:
    if isinstance(value, HashedValue):
        return canonical_hashed(column.type_oid, value.length, value.sha256)
    return canonical_text(column.type_oid, value)
