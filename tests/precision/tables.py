"""Made tables: a few columns and rows, with every kind of replica identity, keys of several columns, and partitions.

Pure. Their columns share a few names, so that names have to be looked up as Postgres does.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from tests.precision.values import INT4, KEY_KINDS, KINDS, TEXT, Kind, quoted
from tests.wire.chance import Chance

Identity = Literal["default", "index", "full"]

_NAMES = ("a", "b", "c", "k", "Odd Name", "date")
_NUMBERS = ("a", "k")  # so that there is something to join
_ROWS = (2, 7)


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        generated: The expression that it is computed by; empty for most.
    """

    name: str
    kind: Kind
    not_null: bool = False
    generated: str = ""

    @property
    def sql(self) -> str:
        """Its name, as it has to be written."""
        return f'"{self.name}"' if self.name != self.name.lower() or " " in self.name else self.name


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        key: Names of the primary key's columns; empty when there is none.
        partitions: Names of those, with the values of the key's first column that they take.
        view: Columns that its view gives.
        child: Name of a table that inherits from it; empty when there is none.
    """

    name: str
    columns: tuple[Column, ...]
    identity: Identity
    key: tuple[str, ...]
    partitions: tuple[tuple[str, str], ...] = ()
    child: str = ""
    view: tuple[str, ...] = ()
    setup: tuple[str, ...] = field(default=(), compare=False)

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns that take values."""
        return tuple(column for column in self.columns if not column.generated)

    def column(self, name: str) -> Column:
        """Return a column."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True, slots=True)
class World:
    """Tables, and what makes them with their rows."""

    tables: tuple[Table, ...]
    setup: tuple[str, ...]


def make_world(chance: Chance) -> World:
    """Make tables."""
    tables = [_table(chance, f"t{number}") for number in range(chance.between(1, 4))]
    setup = ["CREATE TYPE mood AS ENUM ('sad', 'so so', 'glad', 'Glad')"]
    for table in tables:
        setup += table.setup
    for table in tables:
        setup += [
            f"{insert(chance, table, 1, null_one_in=12)} ON CONFLICT DO NOTHING" for _ in range(chance.between(*_ROWS))
        ]
    for table in tables:
        setup.append(_view(chance, table))
    return World(tuple(tables), tuple(setup))


def _view(chance: Chance, table: Table) -> str:
    columns = ", ".join(table.column(name).sql for name in table.view)
    where = f" WHERE {chance.pick(table.columns).sql} IS NOT NULL" if chance.one_in(2) else ""
    return f"CREATE VIEW {table.name}_view AS SELECT {columns} FROM {table.name}{where}"


def value_of(chance: Chance, column: Column, null_one_in: int = 5) -> str:
    """Return a value for a column, as SQL."""
    if not column.not_null and chance.one_in(null_one_in):
        return "NULL"
    return quoted(chance.pick(column.kind.values))


def insert(chance: Chance, table: Table, rows: int, null_one_in: int = 5) -> str:
    """Return an INSERT of some rows."""
    names = ", ".join(column.sql for column in table.written)
    into = table.child if table.child and chance.one_in(3) else table.name
    made = ", ".join(
        "(" + ", ".join(value_of(chance, column, null_one_in) for column in table.written) + ")" for _ in range(rows)
    )
    return f"INSERT INTO {into} ({names}) VALUES {made}"


def _table(chance: Chance, name: str) -> Table:
    partitioned = chance.one_in(5)
    identity: Identity = chance.pick(("default", "full", "full", "full", "index"))
    keyless = identity == "full" and not partitioned and chance.one_in(3)
    keys = [Column("id", INT4 if partitioned or keyless else chance.pick(KEY_KINDS), not_null=True)]
    if chance.one_in(3) and not keyless:
        keys.append(Column("id2", chance.pick(KEY_KINDS), not_null=True))
    others = [
        Column(name, INT4 if name in _NUMBERS else chance.pick(KINDS))
        for name in _NAMES[: chance.between(1, 2 if keyless else 6)]
    ]
    index_column = Column("u", INT4, not_null=True)
    if identity == "index":
        others.append(index_column)
    if chance.one_in(5):
        others.append(_generated(chance, others))
    columns = [*keys, *others]
    if chance.one_in(3):
        columns = [*others, *keys] if not others[-1].generated else columns
    key = () if keyless else tuple(column.name for column in keys)
    partitions = ((f"{name}_low", "0, 1"), (f"{name}_high", "2, 3, -1")) if partitioned else ()
    child = f"{name}_child" if not partitioned and chance.one_in(6) else ""
    table = Table(name, tuple(columns), identity, key, partitions, child)
    view = tuple({chance.pick(columns).name: 1 for _ in range(3)})
    table = replace(table, view=view)
    return replace(table, setup=tuple(_ddl(chance, table)))


def _generated(chance: Chance, others: list[Column]) -> Column:
    base = chance.pick(others)
    if base.kind.is_number and base.kind.name.startswith("int"):
        return Column("g", INT4, generated=f"({base.sql} % 2)::int4")
    return Column("g", TEXT, generated=f"CASE WHEN {base.sql} IS NULL THEN 'a' ELSE 'b' END")


def _ddl(chance: Chance, table: Table) -> list[str]:
    parts = [_definition(column) for column in table.columns]
    if table.key:
        parts.append(f"PRIMARY KEY ({', '.join(table.key)})")
    by = " PARTITION BY LIST (id)" if table.partitions else ""
    made = [f"CREATE TABLE {table.name} ({', '.join(parts)}){by}"]
    made += [
        f"CREATE TABLE {name} PARTITION OF {table.name} FOR VALUES IN ({values})" for name, values in table.partitions
    ]
    if table.child:
        own_key = f"PRIMARY KEY ({', '.join(table.key)})" if table.key else ""
        made.append(f"CREATE TABLE {table.child} ({own_key}) INHERITS ({table.name})")
    names = [partition for partition, _ in table.partitions] or [table.name]
    for name in [*names, table.child] if table.child else names:
        if table.identity == "index":
            columns = ", ".join(["u", *(("id",) if chance.one_in(3) else ())])
            made.append(f"CREATE UNIQUE INDEX {name}_u ON {name} ({columns})")
            made.append(f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {name}_u")
        if table.identity == "full":
            made.append(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
        for column in table.columns:
            if column.kind is TEXT and not column.generated:
                made.append(f"ALTER TABLE {name} ALTER COLUMN {column.sql} SET STORAGE EXTERNAL")
    if table.partitions and table.identity == "full" and chance.one_in(2):
        made.append(f"ALTER TABLE {table.name} REPLICA IDENTITY FULL")
    return made


def _definition(column: Column) -> str:
    generated = f" GENERATED ALWAYS AS ({column.generated}) STORED" if column.generated else ""
    return f"{column.sql} {column.kind.sql}{' NOT NULL' if column.not_null else ''}{generated}"
