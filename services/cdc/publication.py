"""Our publication: of named tables, never of all.

FOR ALL TABLES would make every UPDATE and DELETE on a table without a primary key fail in the application (H9), and
needs a superuser. Tables are added one by one where one of them refuses, so that it does not keep the others out.
"""

from collections.abc import Iterable, Sequence

from services.cdc.control import ControlConnection
from services.cdc.errors import StatementError
from services.cdc.following import Publication
from services.cdc.tables import Table

_FIND = """
    SELECT pg_has_role(pubowner, 'USAGE'),
           pubinsert AND pubupdate AND pubdelete AND pubtruncate AND NOT pubviaroot
    FROM pg_publication WHERE pubname = $1
"""


async def find_publication(control: ControlConnection, name: str) -> Publication | None:
    """Look the publication up; None if there is none of that name."""
    rows = await control.fetch(_FIND, name)
    return Publication(bool(rows[0][0]), bool(rows[0][1])) if rows else None


async def create_publication(control: ControlConnection, name: str) -> None:
    """Make the publication, without tables."""
    await control.execute(f"CREATE PUBLICATION {quote(name)}")


async def drop_publication(control: ControlConnection, name: str) -> None:
    """Drop the publication if it is there."""
    await control.execute(f"DROP PUBLICATION IF EXISTS {quote(name)}")


async def add_tables(control: ControlConnection, name: str, tables: Sequence[Table]) -> dict[str, str]:
    """Add tables to the publication; return those that could not be added, each with what Postgres said."""
    return await _alter(control, f"ALTER PUBLICATION {quote(name)} ADD TABLE", tables)


async def drop_tables(control: ControlConnection, name: str, tables: Sequence[Table]) -> dict[str, str]:
    """Take tables out of the publication; return those that could not be, each with what Postgres said."""
    return await _alter(control, f"ALTER PUBLICATION {quote(name)} DROP TABLE", tables)


async def _alter(control: ControlConnection, command: str, tables: Sequence[Table]) -> dict[str, str]:
    if not tables:
        return {}
    try:
        await control.execute(f"{command} {_list(tables)}")
    except StatementError as error:
        if len(tables) == 1:
            return {str(tables[0]): str(error)}
        refused: dict[str, str] = {}
        for table in tables:
            refused |= await _alter(control, command, [table])
        return refused
    return {}


def _list(tables: Iterable[Table]) -> str:
    return ", ".join(f"ONLY {quote(table.schema)}.{quote(table.name)}" for table in tables)


def quote(name: str) -> str:
    """Write a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
