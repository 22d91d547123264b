"""Our publication: of named tables, never of all.

FOR ALL TABLES would make every UPDATE and DELETE on a table without a primary key fail in the application (H9), and
needs a superuser. Tables are added one by one where one of them refuses, so that it does not keep the others out.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from services.cdc.control import ControlConnection
from services.cdc.errors import StatementError
from services.cdc.following import Publication
from services.cdc.statements import adding, completing, creating, dropping, taking_out
from services.cdc.tables import Table

# Lock not available, deadlock, changed at the same time, gone or renamed meanwhile.
_IN_THE_WAY = frozenset(("55P03", "40P01", "XX000", "42P01", "42704"))

_FIND = """
    SELECT pg_has_role(p.pubowner, 'USAGE'),
           p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND NOT p.pubviaroot,
           p.puballtables OR to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL AND EXISTS (
               SELECT FROM pg_depend d
               WHERE d.classid = to_regclass('pg_catalog.pg_publication_namespace')
                 AND d.refclassid = 'pg_publication'::regclass AND d.refobjid = p.oid)
    FROM pg_publication p WHERE p.pubname = $1
"""


class Refused(NamedTuple):
    """A table that Postgres did not let into the publication, or out of it."""

    table: Table
    error: StatementError

    @property
    def may_soon_succeed(self) -> bool:
        """Whether somebody was only in the way: had it locked, or was just changing it."""
        return self.error.sqlstate in _IN_THE_WAY


async def find_publication(control: ControlConnection, name: str) -> Publication | None:
    """Look the publication up; None if there is none of that name."""
    rows = await control.fetch(_FIND, name)
    return Publication(*map(bool, rows[0])) if rows else None


async def create_publication(control: ControlConnection, name: str) -> None:
    """Make the publication, without tables."""
    await control.execute(creating(name))


async def drop_publication(control: ControlConnection, name: str) -> None:
    """Drop the publication if it is there."""
    await control.execute(dropping(name))


async def complete_publication(control: ControlConnection, name: str) -> None:
    """Have it publish every kind of change, each under the table that it happened to."""
    await control.execute(completing(name))


async def add_tables(control: ControlConnection, name: str, tables: Sequence[Table]) -> list[Refused]:
    """Add tables to the publication; return those that could not be added, each with what Postgres said."""
    return await _alter(control, partial(adding, name), tables)


async def drop_tables(control: ControlConnection, name: str, tables: Sequence[Table]) -> list[Refused]:
    """Take tables out of the publication; return those that could not be, each with what Postgres said."""
    return await _alter(control, partial(taking_out, name), tables)


async def _alter(
    control: ControlConnection, statement: Callable[[Iterable[Table]], str], tables: Sequence[Table]
) -> list[Refused]:
    if not tables:
        return []
    try:
        await control.execute(statement(tables))
    except StatementError as error:
        if len(tables) == 1:
            return [Refused(tables[0], error)]
        return [refused for table in tables for refused in await _alter(control, statement, [table])]
    return []
