"""How sessions begin in the cached database, as far as it decides what can be cached, and who is connected now."""

import asyncio

import psycopg

from services.cdc.control import CONNECT_SECONDS, ControlConnection
from services.cdc.statements import quote
from services.installation.session_defaults import NAMES, Default, defaults_findings
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.upstream import Upstream

_PROXY = "tidegate-proxy"  # and what the connection is for
_OURS = "Sessions of our role"

_SET = """
    SELECT s.setrole = 0, coalesce(r.rolname::text, ''), s.setdatabase = 0, current_database()::text,
           split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
    FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c LEFT JOIN pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND split_part(c, '=', 1) = ANY ($1)
    ORDER BY 1 DESC, 2, 3 DESC, 5
"""
_OWN = "SELECT name, current_setting(name, true) FROM unnest(%s::text[]) name"
_PROXIES = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, $1)
"""


async def sessions_findings(control: ControlConnection, upstream: Upstream) -> list[Finding]:
    """Judge the settings that sessions begin with: H23, H49."""
    own = [Default(_OURS, name, value) for name, value in await _own_defaults(upstream) if value is not None]
    return defaults_findings([*own, *map(_set, await control.fetch(_SET, list(NAMES)))])


async def _own_defaults(upstream: Upstream) -> list[tuple[str, str | None]]:
    """Ask in a session that asks for nothing: all of our others say how they want to begin. Nothing if it fails."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            async with await psycopg.AsyncConnection.connect(upstream.url, autocommit=True) as plain:
                return await (await plain.execute(_OWN, [list(NAMES)])).fetchall()
    except (TimeoutError, psycopg.Error):
        return []


def _set(row: tuple[bool, str, bool, str, str, str]) -> Default:
    of_all_roles, role, of_all_databases, database, name, value = row
    where = "every database" if of_all_databases else "this database"
    if of_all_roles:
        alter = f"ALTER DATABASE {quote(database)}" if not of_all_databases else "ALTER ROLE ALL"
    else:
        alter = f"ALTER ROLE {quote(role)}" + ("" if of_all_databases else f" IN DATABASE {quote(database)}")
    who = f"Sessions of {'everybody' if of_all_roles else f'role {role}'} in {where}"
    return Default(who, name, value, f"{alter} RESET {name}")


async def proxy_connections(control: ControlConnection) -> int:
    """Count the connections that proxies of whatever cache have to the database for themselves, with our role."""
    ((connections,),) = await control.fetch(_PROXIES, _PROXY)
    return int(connections)


async def proxies_finding(control: ControlConnection) -> Finding:
    """Say whether a proxy is connected."""
    connections = await proxy_connections(control)
    text = (
        f"Proxies are connected to this database ({connections} connections for themselves)"
        if connections
        else "No proxy is connected to this database with our role"
    )
    return Finding(Level.OK, "proxies", text)
