"""The schema `tidegate`: the canary, and what is followed.

Two tables are unlogged, so that crash recovery and a promotion empty them: after a crash, commits that were read but
not yet flushed may never have existed (H35). The canary is a random row for each cache; everybody may read it, because
the proxies look at it on their clients' connections. An empty or another canary ends the stream epoch. Beside it stands
the incarnation that last wrote to the log: in an older copy of the data directory an earlier one (H36).

The second table remembers across restarts which relations the event log calls followed, so that the next incarnation
can say which of them no longer are.

A third, `lineage`, is logged. It repeats the canary for hot standbys, where the unlogged one is an error (H55): whoever
shows it has replayed the beginning of the epoch, in the epoch's own history.
"""

import secrets
from collections.abc import Iterable

from services.cdc.control import ControlConnection
from services.cdc.ddl_trigger import remove_ddl_trigger
from services.cdc.following import Followed
from services.shared.lsn import NO_LSN, Lsn, format_lsn, parse_lsn

_SCHEMA_EXISTS = "SELECT to_regnamespace('tidegate') IS NOT NULL"
_TABLES_EXIST = """
    SELECT count(*) = 12 FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = to_regnamespace('tidegate') AND c.relname IN ('canary', 'followed', 'lineage')
"""  # with all their columns; not by to_regclass, which asks for a right on the schema
_CREATE_SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS tidegate;
    GRANT USAGE ON SCHEMA tidegate TO PUBLIC;"""
_CREATE_TABLES = """
    CREATE UNLOGGED TABLE IF NOT EXISTS tidegate.canary (
        cache text PRIMARY KEY, canary text NOT NULL, incarnation text NOT NULL DEFAULT '0/0');
    CREATE UNLOGGED TABLE IF NOT EXISTS tidegate.followed (
        cache text, relation oid, publication_entry oid NOT NULL, fingerprint text NOT NULL,
        schema_name text NOT NULL, table_name text NOT NULL, let_go boolean NOT NULL DEFAULT false,
        PRIMARY KEY (cache, relation));
    CREATE TABLE IF NOT EXISTS tidegate.lineage (cache text PRIMARY KEY, canary text NOT NULL);
    GRANT SELECT ON tidegate.canary, tidegate.lineage TO PUBLIC;
"""
_DROP_TABLES = "DROP TABLE IF EXISTS tidegate.canary, tidegate.followed, tidegate.lineage;"
"""Those of another version: their loss is an epoch."""

_WRITE_CANARY = """
    INSERT INTO tidegate.canary (cache, canary) VALUES ($1, $2)
    ON CONFLICT (cache) DO UPDATE SET canary = excluded.canary
"""
_WRITE_LINEAGE = """
    INSERT INTO tidegate.lineage (cache, canary) VALUES ($1, $2)
    ON CONFLICT (cache) DO UPDATE SET canary = excluded.canary
"""
_REMEMBER = """
    INSERT INTO tidegate.followed (cache, relation, publication_entry, fingerprint, schema_name, table_name)
    SELECT $1, * FROM unnest($2::oid[], $3::oid[], $4::text[], $5::text[], $6::text[])
    ON CONFLICT (cache, relation) DO UPDATE SET
        publication_entry = excluded.publication_entry, fingerprint = excluded.fingerprint,
        schema_name = excluded.schema_name, table_name = excluded.table_name, let_go = false
"""
_USED_BY_OTHERS = """
    SELECT EXISTS (SELECT FROM tidegate.canary WHERE cache <> $1)
        OR EXISTS (SELECT FROM pg_publication WHERE pubname LIKE 'tidegate\\_%' AND pubname <> 'tidegate_' || $1)
"""
"""A publication too, because after a crash the canaries are gone until their CDC services have made new ones."""


async def prepare_canary(control: ControlConnection) -> None:
    """Make the schema and its tables if need be."""
    ((schema_exists,),) = await control.fetch(_SCHEMA_EXISTS)
    ((tables_exist,),) = await control.fetch(_TABLES_EXIST)
    if not schema_exists:
        await control.execute(_CREATE_SCHEMA + _CREATE_TABLES)
    elif not tables_exist:
        await control.execute(_DROP_TABLES + _CREATE_TABLES)


async def read_canary(control: ControlConnection, cache: str) -> str:
    """Return the canary; empty if there is none."""
    rows = await control.fetch("SELECT canary FROM tidegate.canary WHERE cache = $1", cache)
    return str(rows[0][0]) if rows else ""


async def read_incarnation(control: ControlConnection, cache: str) -> Lsn:
    """Return the incarnation that last wrote to the log; zero if there was none."""
    rows = await control.fetch("SELECT incarnation FROM tidegate.canary WHERE cache = $1", cache)
    return parse_lsn(rows[0][0]) if rows else NO_LSN


async def note_incarnation(control: ControlConnection, cache: str, incarnation: Lsn) -> None:
    """Note the incarnation that is about to write to the log, *before* it does."""
    await control.fetch("UPDATE tidegate.canary SET incarnation = $2 WHERE cache = $1", cache, format_lsn(incarnation))


async def renew_canary(control: ControlConnection, cache: str) -> str:
    """Write a new canary, forget what was followed under the old one, and return it."""
    canary = secrets.token_hex(8)
    await control.fetch("DELETE FROM tidegate.followed WHERE cache = $1", cache)
    await control.fetch(_WRITE_LINEAGE, cache, canary)
    await control.fetch(_WRITE_CANARY, cache, canary)
    return canary


async def recall_followed(control: ControlConnection, cache: str) -> list[Followed]:
    """Return what the event log calls followed."""
    rows = await control.fetch(
        "SELECT relation, publication_entry, fingerprint, schema_name, table_name FROM tidegate.followed "
        "WHERE cache = $1",
        cache,
    )
    return [Followed(*row) for row in rows]


async def recall_let_go(control: ControlConnection, cache: str) -> frozenset[int]:
    """Return which of them our event trigger has taken out of the publication, and nobody else."""
    rows = await control.fetch("SELECT relation FROM tidegate.followed WHERE cache = $1 AND let_go", cache)
    return frozenset(relation for (relation,) in rows)


async def remember_followed(control: ControlConnection, cache: str, relations: Iterable[Followed]) -> None:
    """Note relations *before* the event log calls them followed."""
    columns = [list(column) for column in zip(*relations, strict=True)]
    if columns:
        await control.fetch(_REMEMBER, cache, *columns)


async def forget_followed(control: ControlConnection, cache: str, relations: Iterable[int]) -> None:
    """Forget relations *after* the event log has acknowledged that they are no longer followed."""
    await control.fetch(
        "DELETE FROM tidegate.followed WHERE cache = $1 AND relation = ANY ($2::oid[])", cache, list(relations)
    )


async def has_traces(control: ControlConnection, cache: str) -> bool:
    """Tell whether `remove_canary` would have something to remove."""
    ((tables_exist,),) = await control.fetch(_TABLES_EXIST)
    if not tables_exist:
        return False
    ((its_own,),) = await control.fetch("SELECT EXISTS (SELECT FROM tidegate.canary WHERE cache = $1)", cache)
    ((used,),) = await control.fetch(_USED_BY_OTHERS, cache)
    return bool(its_own) or not used


async def remove_canary(control: ControlConnection, cache: str) -> None:
    """Take everything of a cache out of the database, and the schema with its last cache."""
    if not await has_traces(control, cache):
        return
    await control.fetch("DELETE FROM tidegate.followed WHERE cache = $1", cache)
    await control.fetch("DELETE FROM tidegate.lineage WHERE cache = $1", cache)
    await control.fetch("DELETE FROM tidegate.canary WHERE cache = $1", cache)
    ((used,),) = await control.fetch(_USED_BY_OTHERS, cache)
    if not used:
        await remove_ddl_trigger(control)
        await control.execute("DROP TABLE tidegate.canary, tidegate.followed, tidegate.lineage; DROP SCHEMA tidegate")
