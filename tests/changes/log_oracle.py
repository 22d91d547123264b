"""Does the event log tell what changed? Pure: content before and after a step, and the events of between.

Judged are tables that were followed before the step and are published, all their changes, before and behind it. A table
that was altered meanwhile is judged loosely: what happened to it comes under several descriptions.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.changes import Changes
from schemas.relation_event import RelationWide
from tests.changes.content import Content, TableState
from tests.changes.replay import NotTold, replay
from tests.changes.telling import Told


@dataclass(slots=True)
class Precision:
    """How much was told, beside how much changed.

    Attributes:
        tables: Tables that were judged, once for each step.
        changed: Rows that came or went in them.
        rows: Row changes that were told of them.
        wide: Changes of a whole table that were told.
        vain: Those of these behind which the table held what it held before.
    """

    tables: int = 0
    changed: int = 0
    rows: int = 0
    wide: int = 0
    vain: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """What lies between two looks at the database, in which at most one transaction of the history committed.

    Attributes:
        before: The first look.
        after: The second one.
        followed: Publication entries of the tables that the log had called followed at the first look, by OID.
        what: What was done.
    """

    before: Content
    after: Content
    followed: Mapping[int, int]
    what: str = field(default="")


def judge_passage(passage: Passage, told: Sequence[Told], precision: Precision) -> list[str]:
    """Return what is wrong with what was told of one passage.

    Args:
        passage: What was seen in the database.
        told: What committed meanwhile.
        precision: To be added to.
    """
    found: list[str] = []
    for oid, table in passage.before.tables.items():
        of_table = [event for event in told if event.relation == oid]
        if table.kind == "r" and _judged(passage, oid):
            try:
                _judge_table(passage, table, of_table, precision)
            except NotTold as error:
                found.append(f"{table.named} behind {passage.what}: {error}")
        found += [f"{table.named} behind {passage.what}: {fault}" for fault in _incomplete(of_table)]
    return found + _judge_ancestors(passage, told)


def _judged(passage: Passage, oid: int) -> bool:
    before, after = passage.before, passage.after
    return (
        before.published(oid)
        and after.published(oid)
        and passage.followed.get(oid) == before.tables[oid].entry == after.tables[oid].entry
        and oid not in after.locked
    )


def _judge_table(passage: Passage, table: TableState, told: Sequence[Told], precision: Precision) -> None:
    before, after = passage.before.rows[table.oid], passage.after.rows[table.oid]
    now = passage.after.tables[table.oid]
    difference = (Counter(before) - Counter(after)).total() + (Counter(after) - Counter(before)).total()
    wide = [event for event in told if isinstance(event, RelationWide)]
    rows = [event for event in told if isinstance(event, Changes)]
    precision.tables += 1
    precision.changed += difference
    precision.rows += sum(len(event.rows) for event in rows)
    precision.wide += len(wide)
    precision.vain += len(wide) * (not difference)
    if wide:
        return
    if (table.described, table.identity, table.key) == (now.described, now.identity, now.key):
        if not _rewritten(passage):
            replay(table.columns, before, after, rows)
    elif len(before) != len(after) and not rows:
        raise NotTold(f"it had {len(before)} rows and has {len(after)}, and nothing was told")


def _rewritten(passage: Passage) -> bool:
    """Whether values may have changed by a definition, which no row change tells."""
    return "ALTER TYPE" in passage.what or ("ALTER COLUMN" in passage.what and " TYPE " in passage.what)


def _incomplete(told: Sequence[Told]) -> Iterator[str]:
    """Yield what is wrong with the parts of what a transaction did to a table."""
    parts: dict[int, list[Changes]] = {}
    for event in told:
        if isinstance(event, Changes):
            parts.setdefault(event.xid, []).append(event)
    for xid, events in parts.items():
        numbers = [event.part for event in events]
        if numbers != [*range(len(numbers))] or [event.last for event in events].count(True) != 1:
            yield f"transaction {xid} came in parts {numbers}"


def _judge_ancestors(passage: Passage, told: Sequence[Told]) -> list[str]:
    """What is told of partitions must be told of the tables above them, of which they are partitions all along."""
    found: list[str] = []
    for oid, root in passage.before.tables.items():
        if root.kind != "p" or oid not in passage.followed or oid not in passage.after.tables:
            continue
        parts = _partitions(passage.before, oid)
        if parts != _partitions(passage.after, oid) or not all(_judged(passage, part) for part in parts):
            continue
        below = [event for event in told if event.relation in parts]
        above = [event for event in told if event.relation == oid]
        if any(isinstance(event, RelationWide) for event in below) != any(
            isinstance(event, RelationWide) for event in above
        ):
            found.append(f"{root.named} behind {passage.what}: a change of a whole partition was not told above it")
        if _rows_told(below) != _rows_told(above):
            found.append(f"{root.named} behind {passage.what}: not every row change was told above a partition")
    return found


def _partitions(content: Content, root: int) -> frozenset[int]:
    return frozenset(oid for oid, table in content.tables.items() if root in table.ancestors and table.kind == "r")


def _rows_told(told: Sequence[Told]) -> "Counter[str]":
    return Counter(row.model_dump_json() for event in told if isinstance(event, Changes) for row in event.rows)
