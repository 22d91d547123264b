"""Looks at the hot standby that `replica_url` names: does it follow this primary, and may a proxy keep its answers?

What a proxy asks before it keeps one is asked here too, and of the primary what it has to be compared with.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from services.cdc.control import CONNECT_SECONDS, ControlConnection, Server
from services.cdc.errors import SetupError
from services.cdc.replication.errors import ReplicationError
from services.cdc.replication.stream import ReplicationConnection
from services.installation.reaching import reaching
from services.shared.lsn import Lsn, parse_lsn
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings

APPLICATION_NAME = "tidegate-check"

_TOPIC = "replica"
_CATCHING_UP_SECONDS = 1.0
"""How long it may take to replay what the primary has written: one that takes longer lags by more than the bound."""

_POLL_SECONDS = 0.05
_STANDBY = """
    SELECT pg_is_in_recovery(), system_identifier::text,
           (SELECT oid FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()
"""
_FLUSHED = "SELECT pg_current_wal_flush_lsn()::text"
_REPLAYED = "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text"
_CANARY = "SELECT canary FROM tidegate.lineage WHERE cache = $1"


@dataclass(frozen=True, slots=True)
class Standby:
    """What a standby says of itself, and the primary beside it.

    Attributes:
        in_recovery: It is a standby.
        system, database: System identifier; OID of the database.
        timeline: On which it replays.
        canary: What it has replayed of the canary, and `expected` what the primary has; empty where there is none.
        behind_bytes: What it has not replayed after a while, of what the primary had written before.
    """

    in_recovery: bool
    system: str
    database: int
    timeline: str
    canary: str
    expected: str
    behind_bytes: int


async def replica_findings(cache: CacheSettings, primary: Server) -> list[Finding]:
    """Look at the replica, if the settings name one."""
    if cache.replica_url is None:
        return []
    upstream = cache.client_upstream
    try:
        async with (
            reaching(cache.upstream, APPLICATION_NAME, ControlConnection, read_only=True) as ours,
            reaching(upstream, APPLICATION_NAME, ControlConnection, read_only=True) as control,
        ):
            ((in_recovery, system, database),) = await control.fetch(_STANDBY)
            if not in_recovery or (system, database) != (primary.system, primary.database):
                return list(judge(Standby(in_recovery, system, database, "", "", "", 0), primary))
            expected = await _canary(ours, cache.name)
            ((flushed,),) = await ours.fetch(_FLUSHED)
            behind_bytes = await _behind(control, parse_lsn(flushed))
            canary = await _canary(control, cache.name) if expected else ""
        timeline = await _timeline(cache)
    except Refusal as error:
        return [Finding(Level.FAIL, _TOPIC, f"The replica cannot be asked: {error}")]
    except (ReplicationError, SetupError, TimeoutError) as error:
        said = mask_secrets(" ".join(str(error).split()))
        text = f"There is no replication connection to the replica ({said}), so nothing that it answers is kept"
        remedy = "name Postgres itself and not a pooler in replica_url, and let our role in by its pg_hba.conf"
        return [Finding(Level.FAIL, _TOPIC, text, remedy)]
    return list(judge(Standby(True, system, database, timeline, canary, expected, behind_bytes), primary))


def judge(standby: Standby, primary: Server) -> Iterable[Finding]:
    """Judge a standby. Pure."""
    if (standby.system, standby.database) != (primary.system, primary.database):
        text = "The server of replica_url is no copy of that of database_url: nothing is cached for its clients"
        yield Finding(Level.FAIL, _TOPIC, text, "name a hot standby of the primary, and the same database")
    elif not standby.in_recovery:
        text = "The server of replica_url is no standby (any more)"
        yield Finding(Level.WARN, _TOPIC, text, "leave replica_url out, or point it to a standby")
    elif standby.timeline != primary.timeline:
        text = f"The replica is on timeline {standby.timeline}, and the primary on {primary.timeline}"
        yield Finding(Level.FAIL, _TOPIC, f"{text}: nothing that it answers is kept", "have it follow this primary")
    elif standby.behind_bytes:
        text = (
            f"The replica has not replayed, {_CATCHING_UP_SECONDS:g} s later, {standby.behind_bytes} bytes of what the "
            "primary had written: what is not in the cache is that old, and less of it is kept"
        )
        yield Finding(Level.WARN, _TOPIC, text, "see recovery_min_apply_delay, pg_wal_replay_pause() and its load")
    elif standby.canary != standby.expected:
        text = "The replica shows another canary than the primary: nothing that it answers is kept"
        yield Finding(Level.FAIL, _TOPIC, text, "have it follow this primary")
    else:
        yield Finding(Level.OK, _TOPIC, "The replica follows the primary, and has replayed what that has written")


async def _behind(control: ControlConnection, flushed: Lsn) -> int:
    """Return how many bytes up to there are not replayed after a while."""
    deadline = time.monotonic() + _CATCHING_UP_SECONDS
    while True:
        ((replayed,),) = await control.fetch(_REPLAYED)
        behind = max(0, flushed - parse_lsn(replayed))
        if not behind or time.monotonic() > deadline:
            return behind
        await asyncio.sleep(_POLL_SECONDS)


async def _canary(control: ControlConnection, cache: str) -> str:
    """Return the logged canary; empty where the CDC service has not written one yet, or it is not replayed."""
    ((known,),) = await control.fetch("SELECT to_regclass('tidegate.lineage') IS NOT NULL")
    rows = await control.fetch(_CANARY, cache) if known else []
    return str(rows[0][0]) if rows else ""


async def _timeline(cache: CacheSettings) -> str:
    async with asyncio.timeout(2 * CONNECT_SECONDS):
        connection = await ReplicationConnection.open(cache.client_upstream, APPLICATION_NAME)
        try:
            ((_, timeline, *_),) = await connection.query("IDENTIFY_SYSTEM")
        finally:
            await connection.close()
    return f"{int(timeline):08X}"
