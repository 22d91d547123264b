"""Events of the log as lines. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from schemas.catalog_event import CatalogChange
from schemas.changes import Changes, RowChange
from schemas.encoding import Event
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from services.shared.keyspace.dead_letter import DeadLetter
from services.tail.line import Line, LineKind
from services.tail.values import (
    HASH_DIGITS,
    HiddenColumns,
    Values,
    listed,
    plain_values,
    shown_name,
    shown_value,
    shown_values,
)

SHOWN_ROWS = 20
"""The most rows of one record that get a line each; what is left is summed up. A program is given every row."""

_WIDE_WORDS = {
    "truncate": "every row is gone",
    "bulk": "more rows than are worth naming",
    "ddl": "its definition has changed",
    "unfollowed": "its changes are no longer published",
}


def table_of(event: Changes | RelationWide | RelationSchema) -> str:
    """Return the name of the relation that an event is about."""
    return f"{event.schema_name}.{event.table}"


def change_lines(event: Changes, hidden: HiddenColumns, most: int | None) -> Iterator[Line]:
    """Yield a line for each row that a record names.

    Args:
        event: The record.
        hidden: Columns that are shown as hashes.
        most: How many rows at most; what is left is one more line. None: all.
    """
    shown = event.rows if most is None or len(event.rows) <= most + 1 else event.rows[:most]
    for row in shown:
        yield _row_line(event, row, hidden)
    if len(rest := event.rows[len(shown) :]):
        counts = Counter(row.op for row in rest)
        told = f"and {', '.join(f'{count:,} more {op}s' for op, count in counts.items())}"
        yield Line(
            LineKind.CHANGE, event.commit_time, table_of(event), "…", (told, *_origin(event)), _transaction(event)
        )


def _row_line(event: Changes, row: RowChange, hidden: HiddenColumns) -> Line:
    table = table_of(event)
    key, old, new = (hidden.apply(table, values) for values in (row.key, row.old, row.new))
    parts = [shown_values(key or (new if row.op == "insert" else old) or {}), _what_changed(row, old, new)]
    facts = {"key": plain_values(key), "changed": row.changed, "old": plain_values(old), "new": plain_values(new)}
    return Line(
        LineKind.CHANGE,
        event.commit_time,
        table,
        row.op,
        (*(part for part in parts if part), *_origin(event)),
        facts | _transaction(event),
    )


def _what_changed(row: RowChange, old: Values | None, new: Values | None) -> str:
    """Say which columns an update changed: from what to what, where the log has both; else what they were set to."""
    if row.op != "update" or new is None:
        return ""
    before = old or {}
    words = []
    for name in row.changed:
        shown, after = shown_name(name), shown_value(new[name]) if name in new else "…"
        words.append(f"{shown}={shown_value(before[name])}→{after}" if name in before else f"{shown}={after}")
    return listed(words)


def wide_line(event: RelationWide) -> Line:
    """Return the line of what concerns every row."""
    parts = (_WIDE_WORDS[event.op], *_origin(event))
    return Line(LineKind.CHANGE, event.commit_time, table_of(event), event.op, parts, _transaction(event))


def catalog_line(event: CatalogChange) -> Line:
    """Return the line of a transaction that changed the catalog."""
    parts = ("DDL, GRANT or the like", *_origin(event))
    return Line(LineKind.CHANGE, event.commit_time, "", "catalog", parts, _transaction(event))


def follow_line(event: RelationSchema, at: datetime) -> Line:
    """Return the line of a relation that is followed from here on."""
    names = [column.name for column in event.columns]
    key = f"identity {event.identity}"
    key += f" ({', '.join(map(shown_name, event.key_columns))})" if event.key_columns else ""
    facts = {"columns": names, "identity": event.identity, "key_columns": event.key_columns} | position_facts(event)
    return Line(LineKind.FOLLOW, at, table_of(event), "", (listed(list(map(shown_name, names))), key), facts)


def begin_line(event: EpochStart | Resume, at: datetime | None) -> Line:
    """Return the line of a history or a run that begins."""
    if isinstance(event, EpochStart):
        parts, facts = (f"a new history: {event.reason}",), {"reason": event.reason}
    else:
        parts, facts = (f"a new run of the CDC service, from {event.resume_from}",), {"resume_from": event.resume_from}
    return Line(LineKind.BEGIN, at, "", event.kind, parts, facts | position_facts(event))


def dead_line(letter: DeadLetter) -> Line:
    """Return the line of a record that cannot be read."""
    record = f"{letter.length:,} bytes, sha256 {letter.sha256[:HASH_DIGITS]}"
    parts = (f"partition {letter.partition}, place {letter.place}", record, letter.error)
    facts = {
        "partition": letter.partition,
        "place": letter.place,
        "length": letter.length,
        "sha256": letter.sha256,
        "error": letter.error,
    }
    return Line(LineKind.DEAD, letter.when, parts=parts, facts=facts)


def cause_of(event: Changes | RelationWide, hidden: HiddenColumns) -> str:
    """Say in a few words what a record changed and which transaction it was."""
    what: str
    if isinstance(event, RelationWide):
        what = event.op
    elif len(event.rows) == 1:
        what = row_words(event, event.rows[0], hidden)
    else:
        what = f"{len(event.rows):,} rows"
    return " ".join((what, *_origin(event)))


def row_words(event: Changes, row: RowChange, hidden: HiddenColumns) -> str:
    """Say in a few words what happened to which row."""
    key = hidden.apply(table_of(event), row.key)
    return f"{row.op} {shown_values(key)}" if key else row.op


def position_facts(event: Event) -> dict[str, object]:
    """Return where an event stands."""
    return {"position": position_text(event.incarnation, event.k)}


def position_text(incarnation: str, k: int) -> str:
    """Write a position of the log for a person: the incarnation as an LSN, and the count."""
    return f"{incarnation}+{k}"


def _origin(event: Changes | RelationWide | CatalogChange) -> tuple[str, ...]:
    lsn = event.commit_lsn
    return (f"xid {event.xid}", lsn) if event.xid else (lsn,)  # the catalog does not say whose a change of it was


def _transaction(event: Changes | RelationWide | CatalogChange) -> dict[str, object]:
    return {"xid": event.xid or None, "lsn": event.commit_lsn} | position_facts(event)
