"""What else in a server's settings decides how a cache fares: none of it keeps the services from starting. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.shared.runtime.finding import Finding, Level

SETTINGS_QUERY = """
    SELECT coalesce((SELECT setting::int8 * CASE unit WHEN 'min' THEN 60 ELSE 1 END FROM pg_settings
                     WHERE name = 'idle_replication_slot_timeout'), 0) AS idle_slot_seconds,
           current_setting('synchronous_standby_names') AS standby_names,
           (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL OR sync_state IN ('sync', 'quorum'))::int
               AS sync_standbys,
           current_setting('server_encoding') AS encoding,
           (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
               - (SELECT sum(numbackends) FROM pg_stat_database))::int
               AS free_connections
"""

_SHORT_IDLE_SECONDS = 300
_FEW_CONNECTIONS = 10  # two for the CDC service, one for each worker of a proxy, one for each client


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a server says.

    Attributes:
        idle_slot_seconds: idle_replication_slot_timeout; 0: none (before Postgres 18 always).
        standby_names: synchronous_standby_names.
        sync_standbys: How many of them are connected; those count of which our role may not know what they are.
        encoding: Of the database.
        free_connections: Connections that ordinary roles may still make.
    """

    idle_slot_seconds: int
    standby_names: str
    sync_standbys: int
    encoding: str
    free_connections: int


def server_remarks(settings: ServerSettings) -> Iterable[Finding]:
    """Say what is worth knowing; nothing where all is as usual."""
    if 0 < settings.idle_slot_seconds < _SHORT_IDLE_SECONDS:
        text = (
            f"Postgres gives up a replication slot that nobody has read for {settings.idle_slot_seconds} s "
            "(idle_replication_slot_timeout): after a pause of the CDC service of that length the cache begins cold"
        )
        yield Finding(Level.WARN, "wal limit", text, "ALTER SYSTEM SET idle_replication_slot_timeout = '1h'")
    elif settings.idle_slot_seconds:
        text = (
            f"Postgres itself gives up a slot that nobody has read for {settings.idle_slot_seconds} s "
            "(idle_replication_slot_timeout)"
        )
        yield Finding(Level.OK, "wal limit", text)
    if settings.standby_names and not settings.sync_standbys:
        text = (
            f"No synchronous standby is connected (synchronous_standby_names = {settings.standby_names}): commits wait "
            "for one, and what they changed shows nowhere until then, in the cache neither"
        )
        yield Finding(Level.WARN, "standby", text, "start it, or reset synchronous_standby_names")
    if settings.encoding not in ("UTF8", "SQL_ASCII"):
        text = (
            f"The database's encoding is {settings.encoding}: sessions whose client does not ask for UTF8 (most "
            "drivers do, psql does not always) are not cached"
        )
        yield Finding(Level.WARN, "encoding", text, "SET client_encoding = 'UTF8' in the client, or PGCLIENTENCODING")
    if settings.free_connections < _FEW_CONNECTIONS:
        text = (
            f"Postgres has {max(0, settings.free_connections)} free connections; the services need five or more, and "
            "every client of the proxy one"
        )
        yield Finding(Level.WARN, "connections", text, "raise max_connections, or close some")
