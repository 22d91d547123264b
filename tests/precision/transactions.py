"""Made transactions: a few statements that write. Pure."""

from tests.precision.tables import Column, Table, World, insert, value_of
from tests.wire.chance import Chance

_STATEMENTS = (1, 1, 1, 2, 3)


def make_transaction(chance: Chance, world: World) -> tuple[str, ...]:
    """Make a transaction."""
    return tuple(_statement(chance, world) for _ in range(chance.pick(_STATEMENTS)))


def _statement(chance: Chance, world: World) -> str:
    table = chance.pick(world.tables)
    make = chance.pick((_insert, _insert, _update, _update, _update, _update, _one, _one, _key, _delete, _from, _rare))
    return make(chance, world, table)


def _insert(chance: Chance, world: World, table: Table) -> str:
    return f"{insert(chance, table, chance.pick((1, 1, 2, 3)))} ON CONFLICT DO NOTHING"


def _update(chance: Chance, world: World, table: Table) -> str:
    columns = [column for column in table.written if column.name not in table.key] or list(table.written)
    return f"UPDATE {_target(chance, table)} SET {_set(chance, columns)}{_where(chance, table)}"


def _one(chance: Chance, world: World, table: Table) -> str:
    """Change a single column of a single row."""
    column = chance.pick([column for column in table.written if column.name not in table.key] or list(table.written))
    row = f"(SELECT ctid FROM {table.name} ORDER BY {chance.pick(table.columns).sql} LIMIT 1)"
    if table.partitions:
        return _update(chance, world, table)
    return f"UPDATE {table.name} SET {column.sql} = {value_of(chance, column)} WHERE ctid = {row}"


def _key(chance: Chance, world: World, table: Table) -> str:
    """Change a key: of a partitioned table, a row may move."""
    names = table.key or ("id",)
    column = table.column(chance.pick(names))
    row = " AND ".join(f"{name} = (SELECT {name} FROM {table.name} ORDER BY {name} LIMIT 1)" for name in names[:1])
    return f"UPDATE {table.name} SET {column.sql} = {value_of(chance, column)} WHERE {row}"


def _delete(chance: Chance, world: World, table: Table) -> str:
    return f"DELETE FROM {_target(chance, table)}{_where(chance, table)}"


def _from(chance: Chance, world: World, table: Table) -> str:
    other = chance.pick(world.tables)
    column = chance.pick([column for column in table.written if column.name not in table.key] or list(table.written))
    one, two = chance.pick(table.columns).sql, chance.pick(other.columns).sql
    joined = f"FROM {other.name} o WHERE t.{one}::text = o.{two}::text"
    return f"UPDATE {table.name} t SET {column.sql} = {value_of(chance, column)} {joined}"


def _rare(chance: Chance, world: World, table: Table) -> str:
    if chance.one_in(3):
        return f"TRUNCATE {_target(chance, table)}"
    column = chance.pick(table.written)
    return f"UPDATE {table.name} SET {column.sql} = {column.sql}"


def _target(chance: Chance, table: Table) -> str:
    if table.partitions and chance.one_in(3):
        return chance.pick(table.partitions)[0]
    if table.child and chance.one_in(3):
        return table.child
    return table.name


def _set(chance: Chance, columns: list[Column]) -> str:
    chosen = {column.sql: column for column in (chance.pick(columns) for _ in range(chance.pick((1, 1, 2))))}
    return ", ".join(f"{name} = {value_of(chance, column)}" for name, column in chosen.items())


def _where(chance: Chance, table: Table) -> str:
    if chance.one_in(12):
        return ""
    column = chance.pick(table.columns)
    value = value_of(chance, column)
    return f" WHERE {column.sql} IS NULL" if value == "NULL" else f" WHERE {column.sql} = {value}"
