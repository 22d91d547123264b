"""Statements that change rows, one function for each way of doing so.

Rows are named by `id`. Each connection has ids of its own, most of the time: two transactions at once that want the
same row would only wait for each other. Statements that touch every row come when no other transaction is open.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.changes.history import CONNECTIONS
from tests.changes.model import Column, Kind, Model, Table
from tests.changes.values import literal, sql_type
from tests.wire.chance import Chance

_OLD_IDS = 12  # ids that rows have at the beginning, or soon after
_FRESH_FROM = 1_000
_MERGE_SINCE = 15
_PARTS, _ALL_PARTS = 20, 40  # values of `part` that partitions take, and those that some may take
BULK_ROWS = 5_200
"""More than what a transaction may change in one relation before it is told as a whole."""
PARTED_ROWS = 2_000
"""Twice: they come and go."""
STREAMED_ROWS = 300
"""With their texts far more than the least `logical_decoding_work_mem`, so that they are sent before the commit."""


@dataclass
class Writer:
    """Writes statements for one connection.

    Attributes:
        chance: Where choices come from.
        model: What its tables look like.
        on: Number of the connection.
        fresh: Gives an id that was never used.
        alone: Whether no other transaction is open.
        version: Postgres's major version.
    """

    chance: Chance
    model: Model
    on: int
    fresh: Callable[[], int]
    alone: bool
    version: int

    def table(self, *kinds: Kind) -> Table | None:
        """Choose a table that rows can be put in."""
        found = self.model.of(*(kinds or (Kind.PLAIN, Kind.ROOT, Kind.BRANCH, Kind.LEAF, Kind.PARENT, Kind.CHILD)))
        return self.chance.pick(found) if found else None

    def id(self) -> int:
        """Choose an id that a row may have."""
        if self.chance.one_in(6):
            return self.chance.pick((1, 2, self.chance.between(1, _OLD_IDS)))  # what reads look up first of all
        own = self.chance.between(0, _OLD_IDS // CONNECTIONS - 1) * CONNECTIONS + self.on + 1
        return own + (500 if self.chance.one_in(8) else 0)

    def where(self) -> str:
        """Choose some rows."""
        choices = [f"id = {self.id()}", f"id IN ({self.id()}, {self.id()})"]
        if self.alone:
            choices += ["true", f"id < {self.id()}", "n = 1", "v = 'row 1'", "id > 1000"]
        return self.chance.pick(choices)

    def setting(self, table: Table) -> str:
        """Choose what to set."""
        if not table.columns:
            return "id = id"
        columns = [self.chance.pick(table.columns) for _ in range(self.chance.between(1, 2))]
        return ", ".join(f"{one.name} = {self.value(one)}" for one in dict.fromkeys(columns))

    def value(self, column: Column) -> str:
        """Choose a value for a column."""
        value = literal(self.chance, column.type)
        return f"{value}::{sql_type(column.type)}" if value == "NULL" else value

    def row(self, table: Table, identifier: str) -> tuple[str, str]:
        """Choose a row; return the names of its columns and its values."""
        columns = [one for one in table.columns if not self.chance.one_in(4)]
        part = [str(self.part())] if table.has_part else []
        names = ", ".join((*table.fixed, *(one.name for one in columns)))
        return names, ", ".join((identifier, *part, *(self.value(one) for one in columns)))

    def part(self) -> int:
        """Choose a value of `part`."""
        return self.chance.between(0, (_ALL_PARTS if self.chance.one_in(4) else _PARTS) - 1)

    def new_id(self) -> str:
        """Choose an id for a row that comes."""
        return str(self.id() if self.chance.one_in(3) else _FRESH_FROM + self.fresh())


Made = tuple[str, tuple[str, ...] | None]
"""A statement and, for COPY, its lines."""


def write(writer: Writer) -> Made:
    """Write a statement that changes rows."""
    table = writer.table()
    if table is None:
        return "SELECT 1", None
    kind = writer.chance.pick_weighted(*((weight, lambda _, made=made: made) for weight, made in _KINDS))
    made = kind(writer, table)
    return made if isinstance(made, tuple) else (made, None)


def _insert(writer: Writer, table: Table) -> str:
    names, values = writer.row(table, writer.new_id())
    clash = writer.chance.pick(("", " ON CONFLICT DO NOTHING")) if table.key else ""
    back = " RETURNING *" if writer.chance.one_in(4) else ""
    return f"INSERT INTO {table.named} ({names}) VALUES ({values}){clash}{back}"


def _insert_several(writer: Writer, table: Table) -> str:
    start = _FRESH_FROM + writer.fresh()
    for _ in range(4):
        writer.fresh()
    part = f", i % {_PARTS}" if table.has_part else ""
    names = ", ".join(table.fixed)
    return f"INSERT INTO {table.named} ({names}) SELECT i{part} FROM generate_series({start}, {start + 3}) i"


def _upsert(writer: Writer, table: Table) -> str:
    names, values = writer.row(table, str(writer.id()))
    clash = ""
    if set(table.key) == set(table.fixed):
        clash = f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {writer.setting(table)}"
    return f"INSERT INTO {table.named} ({names}) VALUES ({values}){clash}"


def _update(writer: Writer, table: Table) -> str:
    only = "ONLY " if writer.chance.one_in(8) and table.kind is Kind.PARENT else ""
    return f"UPDATE {only}{table.named} SET {writer.setting(table)} WHERE {writer.where()}"


def _update_nothing(writer: Writer, table: Table) -> str:
    name = writer.chance.pick(table.columns).name if table.columns else "id"
    return f"UPDATE {table.named} SET {name} = {name} WHERE {writer.where()}"


def _update_key(writer: Writer, table: Table) -> str:
    target = writer.chance.pick((str(writer.id()), "id + 1000", f"-id - {writer.fresh()}", "id + 0.00", "-id"))
    return f"UPDATE {table.named} SET id = {target} WHERE id = {writer.id()}"


def _swap_keys(writer: Writer, table: Table) -> str:
    one, other = writer.id(), _FRESH_FROM + writer.fresh()
    return f"UPDATE {table.named} SET id = id + {other - one}, v = 'moved' WHERE id = {one}"


def _move(writer: Writer, table: Table) -> str:
    if not table.has_part:
        return _update(writer, table)
    return f"UPDATE {table.named} SET part = {writer.part()} WHERE {writer.where()}"


def _delete(writer: Writer, table: Table) -> str:
    only = "ONLY " if writer.chance.one_in(8) and table.kind is Kind.PARENT else ""
    return f"DELETE FROM {only}{table.named} WHERE {writer.where()}"


def _merge(writer: Writer, table: Table) -> str:
    if writer.version < _MERGE_SINCE:
        return _upsert(writer, table)
    identifier = writer.id()
    part = f", {writer.chance.between(0, 9)}" if table.has_part else ""
    matched = writer.chance.pick((f"UPDATE SET {writer.setting(table)}", "DELETE", "DO NOTHING"))
    return (
        f"MERGE INTO {table.named} t USING (VALUES ({identifier}), ({_FRESH_FROM + writer.fresh()})) s(i) ON t.id = s.i"
        f" WHEN MATCHED THEN {matched}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(table.fixed)}) VALUES (s.i{part})"
    )


def _copy(writer: Writer, table: Table) -> Made:
    names = [*table.fixed, *(one.name for one in table.columns if one.type in {"text", "int"})]
    lines = []
    for _ in range(writer.chance.between(1, 3)):
        values = [str(_FRESH_FROM + writer.fresh())]
        values += [str(writer.part())] if table.has_part else []
        values += [
            writer.chance.pick(("copied", "\\N", "back\\\\slash", "tab\\there") if one.type == "text" else ("1", "\\N"))
            for one in table.columns
            if one.type in {"text", "int"}
        ]
        lines.append("\t".join(values))
    return f"COPY {table.named} ({', '.join(names)}) FROM STDIN", tuple(lines)


def _several_at_once(writer: Writer, table: Table) -> str:
    """One statement that writes twice."""
    other = writer.table()
    if other is None:
        return _delete(writer, table)
    names, values = writer.row(other, writer.new_id())
    return (
        f"WITH gone AS (DELETE FROM {table.named} WHERE {writer.where()} RETURNING id),"
        f" came AS (INSERT INTO {other.named} ({names}) VALUES ({values}) RETURNING id)"
        f" SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM came)"
    )


def _truncate(writer: Writer, table: Table) -> str:
    other = writer.table()
    only = "ONLY " if table.kind in {Kind.PARENT, Kind.LEAF} and writer.chance.one_in(3) else ""
    more = f", {other.named}" if other is not None and writer.chance.one_in(4) else ""
    return f"TRUNCATE {only}{table.named}{more}{writer.chance.pick(('', ' CASCADE', ' RESTART IDENTITY'))}"


def _bulk(writer: Writer, table: Table) -> str:
    """More rows than are told one by one, nearly all of which are gone at the end of the statement's transaction."""
    start, part = 10_000, f", i % {_PARTS}" if table.has_part else ""
    clash = " ON CONFLICT DO NOTHING" if table.key else ""
    return (
        f"DO $$ BEGIN INSERT INTO {table.named} ({', '.join(table.fixed)})"
        f" SELECT i{part} FROM generate_series({start}, {start + BULK_ROWS}) i{clash};"
        f" DELETE FROM {table.named} WHERE id > {start + writer.chance.between(0, 3)}"
        f" AND id <= {start + BULK_ROWS}; END $$"
    )


def _long(writer: Writer, table: Table) -> str:
    """Enough to be sent while the transaction is in progress."""
    start, part = 20_000 + writer.fresh() * 1_000, f", i % {_PARTS}" if table.has_part else ""
    texts = [one.name for one in table.columns if one.type == "text"]
    names = ", ".join((*table.fixed, *texts))
    values = "".join(", repeat('streamed ' || i, 30)" for _ in texts)
    return (
        f"DO $$ BEGIN INSERT INTO {table.named} ({names})"
        f" SELECT i{part}{values} FROM generate_series({start}, {start + STREAMED_ROWS}) i;"
        f" DELETE FROM {table.named} WHERE id > {start + writer.chance.between(0, 3)}"
        f" AND id <= {start + STREAMED_ROWS}; END $$"
    )


def _long_undone(writer: Writer, table: Table) -> str:
    """A part that is sent while it is in progress, and then undone."""
    start, part = 40_000 + writer.fresh() * 1_000, f", i % {_PARTS}" if table.has_part else ""
    texts = [one.name for one in table.columns if one.type == "text"]
    names = ", ".join((*table.fixed, *texts))
    values = "".join(", repeat('undone ' || i, 30)" for _ in texts)
    kept, kept_values = writer.row(table, writer.new_id())
    return (
        f"DO $$ BEGIN BEGIN INSERT INTO {table.named} ({names})"
        f" SELECT i{part}{values} FROM generate_series({start}, {start + STREAMED_ROWS}) i;"
        f" RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN"
        f" INSERT INTO {table.named} ({kept}) VALUES ({kept_values}); END; END $$"
    )


def _in_several_parts(writer: Writer, table: Table) -> str:
    """Not so many that they are told as a whole, but more than one record of the event log holds."""
    start, part = 16_000, f", i % {_PARTS}" if table.has_part else ""
    clash = " ON CONFLICT DO NOTHING" if table.key else ""
    return (
        f"DO $$ BEGIN INSERT INTO {table.named} ({', '.join(table.fixed)})"
        f" SELECT i{part} FROM generate_series({start}, {start + PARTED_ROWS}) i{clash};"
        f" DELETE FROM {table.named} WHERE id BETWEEN {start + 2} AND {start + PARTED_ROWS}; END $$"
    )


def _message(writer: Writer, _: Table) -> str:
    return f"SELECT pg_logical_emit_message({writer.chance.pick(('true', 'false'))}, 'someone', 'else')"


def _in_part(writer: Writer, table: Table) -> str:
    """A part that is undone within one statement, and one that is not."""
    names, values = writer.row(table, writer.new_id())
    return (
        f"DO $$ BEGIN BEGIN UPDATE {table.named} SET {writer.setting(table)} WHERE {writer.where()};"
        f" RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN"
        f" INSERT INTO {table.named} ({names}) VALUES ({values}); END; END $$"
    )


_KINDS: tuple[tuple[int, Callable[[Writer, Table], str | Made]], ...] = (
    (12, _insert),
    (4, _insert_several),
    (6, _upsert),
    (16, _update),
    (3, _update_nothing),
    (6, _update_key),
    (4, _swap_keys),
    (6, _move),
    (7, _delete),
    (4, _merge),
    (4, _copy),
    (4, _several_at_once),
    (4, _truncate),
    (1, _bulk),
    (2, _long),
    (2, _long_undone),
    (1, _in_several_parts),
    (1, _message),
    (3, _in_part),
)
