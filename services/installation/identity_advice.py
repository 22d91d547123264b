"""Which tables would gain from which replica identity, and what that would cost. Pure.

A read that holds columns equal to values is evicted exactly when a change tells these columns of the old row: those of
the replica identity do, FULL tells all. Where a column is not among them, every UPDATE and DELETE of the table evicts
all reads of that form, whatever their values. An index can be the identity as well, if it has the columns of all reads
and of the key; it adds far less to the WAL.

A partition or a child has an identity of its own, and is read by the names of what it is a part of too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.installation.identity_facts import ReadRelation, RowTable, SeenReads
from services.installation.wal_cost import ChangeCost, SampledColumn, cost_of_full, cost_of_index
from services.shared.relation import Shape
from services.shared.runtime.finding import Finding, Level

_NAMED_TABLES = 5
_NAMED_STATEMENTS = 2
_NAMED_FORMS = 4
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Window:
    """The time over which changes were counted.

    Attributes:
        seconds: How long it was; None where that is not known.
        changes: Rows updated and rows deleted in it, by table.
        wal_per_second: Bytes of WAL that the server writes; None where that is not known.
        measured: Whether somebody has watched for so long; else it is since Postgres counts.
    """

    seconds: float | None
    changes: Mapping[int, tuple[int, int]]
    wal_per_second: float | None
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Wanting:
    """A relation of which reads are evicted too widely.

    Attributes:
        relation, named: Which one it is.
        shapes: Of these reads.
        untold: Columns that changes do not tell of the old row.
        tables: With rows of it, and with an identity that does not tell them.
        indexes: For each of these the index that could be its identity; empty where only FULL helps.
    """

    relation: int
    named: ReadRelation
    shapes: tuple[Shape, ...]
    untold: tuple[str, ...]
    tables: tuple[RowTable, ...]
    indexes: tuple[str, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """What would mend it, one for each table, and for a partitioned table that these are a part of."""
        identities = [f"USING INDEX {index}" if index else "FULL" for index in self.indexes]
        altered = [(table.quoted, identity) for table, identity in zip(self.tables, identities, strict=True)]
        if self.named.partly and not any(self.indexes):
            altered.append((self.named.quoted, "FULL"))
        return tuple(f"ALTER TABLE {quoted} REPLICA IDENTITY {identity}" for quoted, identity in altered)


def wanting(shapes: Iterable[Shape], tables: Sequence[RowTable], names: Mapping[int, ReadRelation]) -> list[Wanting]:
    """Return the relations that would gain.

    Args:
        shapes: By which columns relations are read.
        tables: The tables with rows of them.
        names: What the relations are called.
    """
    on = _by_relation(shapes)
    parts: dict[int, int] = {}
    for table in tables:
        for root in table.roots:
            parts[root] = parts.get(root, 0) + 1
    groups: dict[int, list[RowTable]] = {}
    for table in tables:
        if wide := _wide(on, table):
            relation = max(sorted({shape.relation for shape in wide}), key=parts.__getitem__)
            groups.setdefault(relation, []).append(table)
    found = [_wanting(relation, names[relation], on, group) for relation, group in groups.items() if relation in names]
    return sorted(found, key=lambda one: one.named.name)


def _by_relation(shapes: Iterable[Shape]) -> dict[int, list[Shape]]:
    found: dict[int, list[Shape]] = {}
    for shape in shapes:
        if shape.named:
            found.setdefault(shape.relation, []).append(shape)
    return found


def _wide(on: Mapping[int, Sequence[Shape]], table: RowTable) -> list[Shape]:
    """Return the shapes that a table's changes cannot be matched with exactly; none of one that does not change."""
    if table.identity == "full" or not table.updates + table.deletes:
        return []
    return [shape for root in table.roots for shape in on.get(root, ()) if _untold(shape, table)]


def _untold(shape: Shape, table: RowTable) -> list[str]:
    return [column.name for column in shape.named if column.name not in table.key]


def _wanting(
    relation: int, named: ReadRelation, on: Mapping[int, Sequence[Shape]], tables: Sequence[RowTable]
) -> Wanting:
    wide: dict[str, Shape] = {}
    untold: dict[str, None] = {}
    for table in tables:
        for shape in _wide(on, table):
            wide[shape.id] = shape
            untold.update(dict.fromkeys(_untold(shape, table)))
    indexes = tuple(_index(on, table) for table in tables)
    return Wanting(relation, named, tuple(wide.values()), tuple(sorted(untold)), tuple(tables), indexes)


def _index(on: Mapping[int, Sequence[Shape]], table: RowTable) -> str:
    """Return the narrowest index that tells what reads ask for, and all that the identity tells now."""
    needed = set(table.key)
    needed.update(column.name for root in table.roots for shape in on.get(root, ()) for column in shape.named)
    return next((name for name, columns in table.indexes if needed <= columns), "")


def cost_of(one: Wanting, table: RowTable, index: str, sample: Sequence[SampledColumn]) -> ChangeCost:
    """Return what the advised identity adds to the WAL of a table's changes."""
    if not index:
        return cost_of_full(sample, table.key)
    columns = next(columns for name, columns in table.indexes if name == index)
    return cost_of_index(sample, table.key, columns)


def advice(one: Wanting, seen: SeenReads, costs: Mapping[int, ChangeCost], window: Window) -> Finding:
    """Say what a relation would gain, how, and at which cost.

    Args:
        one: The relation.
        seen: What is read and has been evicted.
        costs: What a change would cost, for those tables of which it is known.
        window: The time over which changes were counted.
    """
    forms = sorted({_form(shape) for shape in one.shapes})
    more = f" and in {len(forms) - _NAMED_FORMS} more ways" if len(forms) > _NAMED_FORMS else ""
    ways = f"{', by '.join(forms[:_NAMED_FORMS])}{more}"
    where = "" if [table.oid for table in one.tables] == [one.relation] else f" of {_listed(one.tables)}"
    text = (
        f"{one.named.name}: reads by {ways} are evicted too widely on UPDATE and DELETE"
        f"{where}, which do not tell the old {' and '.join(one.untold)}{_evidence(one, seen)}"
    )
    statements = one.statements
    left = f" (and {len(statements) - _NAMED_STATEMENTS} more: --json)" if len(statements) > _NAMED_STATEMENTS else ""
    remedy = f"{'; '.join(statements[:_NAMED_STATEMENTS])}{left} makes them exact, {_cost(one, costs, window)}"
    return Finding(
        Level.HINT, "identity", text, remedy, tables=tuple(table.name for table in one.tables), statements=statements
    )


def _form(shape: Shape) -> str:
    names = " and ".join(column.name for column in shape.named)
    return names if shape.ranged is None else f"a range of {names}"


def _evidence(one: Wanting, seen: SeenReads) -> str:
    wide = seen.wide(one.relation, one.shapes)
    return f" (as in {wide} of its last {seen.evictions.get(one.relation, 0)} evictions)" if wide else ""


def _cost(one: Wanting, costs: Mapping[int, ChangeCost], window: Window) -> str:
    """Say what it costs, as far as that is known."""
    known = [costs[table.oid] for table in one.tables if table.oid in costs]
    if not known:
        return "for more WAL; how much is not known, for no row of it could be looked at"
    typical = ChangeCost(_mean([cost.update for cost in known]), _mean([cost.delete for cost in known]))
    updates = deletes = 0
    added = 0.0
    for table in one.tables:
        updated, deleted = window.changes.get(table.oid, (0, 0))
        updates, deletes = updates + updated, deletes + deleted
        added += costs.get(table.oid, typical).of(updated, deleted)
    about = "at most" if any(one.indexes) else "about"
    each = f"for {about} {_bytes(typical.update)} more WAL an UPDATE and {_bytes(typical.delete)} a DELETE"
    if not window.seconds:
        return f"{each} ({updates:,} and {deletes:,} were counted so far)"
    if not updates + deletes:
        return f"{each} (there were none in {_span(window.seconds)})"
    rate = added / window.seconds
    share = f"{_percent(rate / window.wal_per_second)} of what the server writes, " if window.wal_per_second else ""
    basis = "measured for" if window.measured else "by the changes of the last"
    return f"for {about} {_bytes(rate * _HOUR_SECONDS)}/h more WAL ({share}{basis} {_span(window.seconds)})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _listed(tables: Sequence[RowTable]) -> str:
    names = ", ".join(table.name for table in tables[:_NAMED_TABLES])
    return names if len(tables) <= _NAMED_TABLES else f"{names} and {len(tables) - _NAMED_TABLES} more"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{round(count)} bytes"


def _percent(share: float) -> str:
    if share < 0.001:
        return "less than 0.1 %"
    return f"+{share * 100:.2g} %" if share < 1 else f"+{share * 100:.0f} %"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", _HOUR_SECONDS), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 2 else f"{seconds:.2g} s"
