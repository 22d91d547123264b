"""Does the event log tell what changed? Pure: content before and after a step, and the events of between.

Judged are tables that were followed before the step and are published, all their changes, before and behind it. A table
that was altered meanwhile is judged loosely: what happened to it comes under several descriptions.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.changes import Changes, RowChange
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
        once_below: OIDs of the tables that have been below another one, by that one's. What happens to them may still
            be told of it: the log says so later that they have left (ADR 10).
        what: What was done.
    """

    before: Content
    after: Content
    followed: Mapping[int, int]
    once_below: Mapping[int, frozenset[int]]
    what: str


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
        faults = [*_incomplete(of_table)]
        try:
            if _judged(passage, oid):
                _judge_table(passage, table, _own(passage, told, oid), precision)
        except NotTold as error:
            faults.append(str(error))
        found += [f"{table.named} behind {passage.what}: {fault}" for fault in faults]
    return found


def _judged(passage: Passage, oid: int) -> bool:
    """Tell whether a table, and all below it, stayed what it was, and was followed all the while."""
    before, after = passage.before, passage.after
    below = before.below(oid)
    if oid not in passage.followed or oid not in after.tables or below != after.below(oid):
        return False
    parts = below if before.tables[oid].kind == "p" else below | {oid}
    return all(_stayed(passage, part) for part in parts)


def _stayed(passage: Passage, oid: int) -> bool:
    """Tell it of one table. Of one with others below it the log gives a digest of their entries in place of its own."""
    before, after = passage.before, passage.after
    told = passage.followed.get(oid)
    entry = before.tables[oid].entry
    return (
        before.published(oid)
        and after.published(oid)
        and after.tables[oid].entry == entry
        and (told == entry or (told is not None and bool(before.below(oid))))
        and oid not in after.locked
    )


def _own(passage: Passage, told: Sequence[Told], oid: int) -> list[Told]:
    """Return what was told of a table's own rows: what was told of those below it has to be there too, and is left out.

    Raises:
        NotTold: Something below was not told, or something was told that happened nowhere.
    """
    of_table = [event for event in told if event.relation == oid]
    below = [event for one in passage.before.below(oid) for event in _own(passage, told, one)]
    if any(isinstance(event, RelationWide) for event in below) > any(
        isinstance(event, RelationWide) for event in of_table
    ):
        raise NotTold("a change of a whole table below it was not told")
    rest = Counter(row.model_dump_json() for event in below if isinstance(event, Changes) for row in event.rows)
    own = [_without(event, rest) if isinstance(event, Changes) else event for event in of_table]
    if rest.total():
        raise NotTold(f"{rest.total()} row changes below it were not told")
    left = passage.once_below.get(oid, frozenset()) - passage.before.below(oid)
    of_left = Counter(
        row.model_dump_json()
        for event in told
        if isinstance(event, Changes) and event.relation in left
        for row in event.rows
    )
    own = [_without(event, of_left) if isinstance(event, Changes) else event for event in own]
    if passage.before.tables[oid].kind == "p" and any(isinstance(event, Changes) and event.rows for event in own):
        raise NotTold("a row changed that is in no table below it")
    return own


def _without(event: Changes, rest: "Counter[str]") -> Changes:
    """Leave out the rows that are among others, each of which counts once."""
    rows: list[RowChange] = []
    for row in event.rows:
        text = row.model_dump_json()
        if rest[text]:
            rest[text] -= 1
        else:
            rows.append(row)
    return event.model_copy(update={"rows": rows})


def _judge_table(passage: Passage, table: TableState, told: Sequence[Told], precision: Precision) -> None:
    if table.kind != "r":
        return
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
