"""Statements about our publication, as they are run and as they are shown to people. Pure."""

from collections.abc import Iterable

from services.cdc.tables import Table


def quote(name: str) -> str:
    """Write a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def creating(publication: str) -> str:
    """Return the statement that makes a publication without tables."""
    return f"CREATE PUBLICATION {quote(publication)}"


def completing(publication: str) -> str:
    """Return the statement that has it publish every kind of change, each under the table that it happened to."""
    every = "publish = 'insert, update, delete, truncate', publish_via_partition_root = false"
    return f"ALTER PUBLICATION {quote(publication)} SET ({every})"


def adding(publication: str, tables: Iterable[Table]) -> str:
    """Return the statement that adds tables."""
    return f"ALTER PUBLICATION {quote(publication)} ADD TABLE {_list(tables)}"


def taking_out(publication: str, tables: Iterable[Table]) -> str:
    """Return the statement that takes tables out."""
    return f"ALTER PUBLICATION {quote(publication)} DROP TABLE {_list(tables)}"


def dropping(publication: str) -> str:
    """Return the statement that drops the publication."""
    return f"DROP PUBLICATION IF EXISTS {quote(publication)}"


def _list(tables: Iterable[Table]) -> str:
    return ", ".join(f"ONLY {quote(table.schema)}.{quote(table.name)}" for table in tables)
