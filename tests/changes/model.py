"""What the maker of a history believes of the tables: enough to write statements that mostly succeed.

It need not be right. A statement that fails where the belief is wrong is part of the history too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Kind(Enum):
    """What a table is to others."""

    PLAIN = "plain"
    ROOT = "root"
    BRANCH = "branch"
    LEAF = "leaf"
    PARENT = "parent"
    CHILD = "child"


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its name.
        type: Its type, as `values` names it.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Each has a column `id`; partitioned ones have `part` too, which decides the partition.

    Attributes:
        number: What stays when it is renamed.
        schema: Its schema.
        name: Its name.
        columns: Those that can be written, without `id` and `part`.
        key: Columns that are unique; empty if there is no such thing.
        kind: What it is to others.
        under: Number of the table above it.
    """

    number: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("id",)
    kind: Kind = Kind.PLAIN
    under: int | None = None

    @property
    def named(self) -> str:
        """Its name in SQL."""
        return f"{self.schema}.{self.name}"

    @property
    def has_part(self) -> bool:
        """Whether there is a column `part`."""
        return self.kind in {Kind.ROOT, Kind.BRANCH, Kind.LEAF}

    @property
    def fixed(self) -> tuple[str, ...]:
        """The columns that are always there."""
        return ("id", "part") if self.has_part else ("id",)


@dataclass(frozen=True, slots=True)
class Model:
    """All tables, by number."""

    tables: Mapping[int, Table] = field(default_factory=dict)

    def of(self, *kinds: Kind) -> list[Table]:
        """Return the tables of some kinds; of all without any."""
        return [table for table in self.tables.values() if not kinds or table.kind in kinds]

    def above(self, table: Table) -> Table | None:
        """Return the table directly above one."""
        return None if table.under is None else self.tables.get(table.under)

    def under(self, table: Table) -> list[Table]:
        """Return the tables directly under one."""
        return [other for other in self.tables.values() if other.under == table.number]

    def all_under(self, table: Table) -> list[Table]:
        """Return the tables under one, at any depth."""
        return [deeper for other in self.under(table) for deeper in (other, *self.all_under(other))]

    def family(self, table: Table) -> frozenset[int]:
        """Return the numbers of a table, of those above it and of those under it: whoever alters one locks others."""
        top = table
        while (above := self.above(top)) is not None:
            top = above
        return frozenset({top.number, *(other.number for other in self.all_under(top))})

    def put(self, tables: Iterable[Table]) -> "Model":
        """Return the model with tables added or replaced."""
        return replace(self, tables={**self.tables, **{table.number: table for table in tables}})

    def without(self, numbers: Iterable[int]) -> "Model":
        """Return the model without some tables."""
        gone = set(numbers)
        return replace(self, tables={number: table for number, table in self.tables.items() if number not in gone})

    def with_columns(self, table: Table, columns: tuple[Column, ...]) -> "Model":
        """Return the model in which a table and all under it have other columns."""
        return self.put(replace(one, columns=columns) for one in (table, *self.all_under(table)))
