"""Is Postgres set up for us, and are we where we think we are? What is missing is said with what mends it."""

import asyncio
import time

from services.cdc.canary import prepare_canary, remove_canary
from services.cdc.control import SERVER_QUERY, ControlConnection, Server
from services.cdc.errors import ConnectionLostError, SetupError, StatementError
from services.cdc.publication import create_publication, drop_publication, find_publication
from services.cdc.replication.slot import drop_slot, find_slot
from services.cdc.replication.stream import ReplicationConnection

OLDEST_VERSION = 14

RELEASE_SECONDS = 2.0
"""How long a slot may be in use after its service has ended: Postgres has to notice that."""

_RELEASE_POLL_SECONDS = 0.02

_FACTS = """
    SELECT pg_is_in_recovery(), current_setting('wal_level'), current_setting('server_encoding'), r.rolname,
           r.rolreplication OR r.rolsuper
           OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'USAGE'))
    FROM pg_roles r WHERE r.rolname = current_user
"""


async def check_server(control: ControlConnection) -> None:
    """Make sure that changes can be followed on this server by our role.

    Raises:
        SetupError: They cannot.
    """
    ((in_recovery, wal_level, encoding, role, may_replicate),) = await control.fetch(_FACTS)
    if control.version < OLDEST_VERSION:
        raise SetupError(f"Postgres {control.version} is too old: Tidegate follows {OLDEST_VERSION} and later")
    if in_recovery:
        raise SetupError("this server is a standby: point database_url to the primary")
    if wal_level != "logical":
        raise SetupError(
            f"wal_level is {wal_level} and has to be logical: "
            "ALTER SYSTEM SET wal_level = 'logical', then restart Postgres"
        )
    if encoding == "SQL_ASCII":
        raise SetupError("the database has no encoding (SQL_ASCII), so its text cannot be compared: nothing is cached")
    if not may_replicate:
        raise SetupError(f'role {role} may not replicate: ALTER ROLE "{role}" REPLICATION')


async def prepare_database(control: ControlConnection, publication: str) -> bool:
    """Make the canary's schema and the publication if they are missing.

    Returns:
        Whether the publication is new: a slot that is older cannot be used with it.

    Raises:
        SetupError: Our role may not make them.
    """
    await prepare_canary(control)
    if await find_publication(control, publication) is not None:
        return False
    try:
        await create_publication(control, publication)
    except StatementError as error:
        raise SetupError(f"{error}; let our role make publications: GRANT CREATE ON DATABASE … TO …") from error
    return True


async def check_same_server(server: Server, replication: ReplicationConnection) -> None:
    """Make sure that two connections lead to one server, whatever a name or a pooler stands for (H48).

    Raises:
        ConnectionLostError: They do not.
    """
    ((system, database, timeline, started_at),) = await replication.query(SERVER_QUERY)
    if Server(system, int(database), timeline, started_at) != server:
        raise ConnectionLostError("two connections lead to two servers: name one primary in database_url")


async def remove_all(control: ControlConnection, cache: str, slot: str, publication: str) -> None:
    """Take slot, publication and canary out of the database.

    Raises:
        SetupError: The slot is in use, and stays so, or is not ours.
    """
    deadline = time.monotonic() + RELEASE_SECONDS
    while (state := await find_slot(control, slot)) is not None and state.active_pid is not None:
        if time.monotonic() >= deadline:
            raise SetupError(f"replication slot {slot} is in use: it is left in place")
        await asyncio.sleep(_RELEASE_POLL_SECONDS)
    if state is not None:
        if not state.ours:
            raise SetupError(f"replication slot {slot} is not ours: it is left in place")
        await drop_slot(control, slot)
    await drop_publication(control, publication)
    await remove_canary(control, cache)
