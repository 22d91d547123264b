"""What is asked through the proxy of the tables that are there: a fixed set of statements for each. Pure.

Which forms a table is asked in follows from its name, so that a history that is played again asks the same.

Statements once asked are asked again after their table has gone, or has become another: the answer then is an error, or
is another one, and both must be what Postgres says.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.changes.content import TableState

_MOST = 70  # statements that are asked at a time; the oldest give way


@dataclass(frozen=True, slots=True)
class Read:
    """A statement.

    Attributes:
        sql: Its text.
        parameters: In text form; a statement without any is sent as a simple query.
        binary: Whether the answer is wanted in binary.
    """

    sql: str
    parameters: tuple[str, ...] = ()
    binary: bool = False


class Reads:
    """The statements that are asked now."""

    def __init__(self) -> None:
        self._all: dict[Read, None] = {}

    def __iter__(self) -> Iterator[Read]:
        return iter([*self._all])

    def add(self, tables: Iterable[TableState]) -> None:
        """Add the statements for tables that are there."""
        known = [table for table in tables if "id" in table.columns or table.kind == "v"]
        for read in (*(read for table in known for read in _of_one(table)), *_of_two(known)):
            self._all.setdefault(read)
        for read in [*self._all][: max(0, len(self._all) - _MOST)]:
            del self._all[read]


def _of_one(table: TableState) -> Iterator[Read]:
    named = table.named
    if table.kind == "v":
        yield Read(f"SELECT count(*) FROM {named}")
        return
    more = " AND part = 7" if "part" in table.columns else ""
    yield Read(f"SELECT * FROM {named}")
    yield Read(f"SELECT * FROM {named} WHERE id = 1{more}")
    yield Read(f"SELECT * FROM {named} WHERE id = $1{more}", ("2",), binary=_chance(table) % 2 == 0)
    if "w" in table.columns:
        yield Read(f"SELECT * FROM {named} WHERE id = $1 AND w = $2", ("1", "a"))
        yield Read(f"SELECT * FROM {named} WHERE w = 'a ' AND id = 2")
    yield Read(f"SELECT count(*), min(id), max(id) FROM {'' if _chance(table) % 3 else 'ONLY '}{named}")
    if "v" in table.columns:
        yield Read(f"SELECT id, v FROM {table.name} WHERE v = 'row 1' ORDER BY id, v")
    if "n" in table.columns:
        yield Read(f"SELECT n, count(*) FROM {named} GROUP BY n")
    if len(table.columns) > len(("id", "v", "n")):
        yield Read(f"SELECT {table.columns[-1]} FROM {named} WHERE id IN (1, 3, 500, 1001)")


def _chance(table: TableState) -> int:
    return sum(table.name.encode())


def _of_two(tables: list[TableState]) -> Iterator[Read]:
    tables = [table for table in tables if table.kind != "v"]
    for one, other in pairwise(sorted(tables, key=lambda table: table.named)):
        if _chance(other) % 2:
            yield Read(f"SELECT a.id, b.id FROM {one.named} a JOIN {other.named} b ON a.id = b.id")
        else:
            yield Read(f"SELECT id FROM {one.named} WHERE EXISTS (SELECT 1 FROM {other.named} x WHERE x.id = 1)")
