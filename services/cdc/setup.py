"""Is Postgres set up for us, and are we where we think we are? What is missing is said with what mends it."""

import asyncio
import time
from dataclasses import replace

from services.cdc.canary import prepare_canary, remove_canary
from services.cdc.catalog import read_tables
from services.cdc.control import SERVER_QUERY, ControlConnection, Server
from services.cdc.errors import ConnectionLostError, SetupError
from services.cdc.following import Publication, plan_following
from services.cdc.publication import (
    Refused,
    add_tables,
    complete_publication,
    create_publication,
    drop_publication,
    drop_tables,
    find_publication,
)
from services.cdc.replication.slot import SlotState, drop_slot, find_slot
from services.cdc.replication.stream import ReplicationConnection
from services.cdc.requirements import ServerFacts, server_findings
from services.shared.runtime.finding import failed

RELEASE_SECONDS = 2.0
"""How long a slot may be in use after its service has ended: Postgres has to notice that."""

_RELEASE_POLL_SECONDS = 0.02

_FACTS = """
    SELECT current_setting('server_version_num')::int / 10000 AS major,
           pg_is_in_recovery() AS standby,
           current_setting('wal_level') AS wal_level,
           current_setting('server_encoding') AS encoding,
           current_setting('max_replication_slots')::int AS slots,
           (SELECT count(*) FROM pg_replication_slots)::int AS slots_taken,
           EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1) AS slot_known,
           EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active) AS slot_read,
           current_setting('max_wal_senders')::int AS senders,
           (SELECT count(*) FROM pg_stat_replication)::int AS senders_taken,
           (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS slot_cap,
           r.rolname::text AS role,
           current_database()::text AS database,
           r.rolreplication OR r.rolsuper OR EXISTS (
               SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'USAGE')
           ) AS may_replicate,
           has_database_privilege(current_database(), 'CREATE') AS may_create,
           n.oid IS NOT NULL AS schema_known,
           n.oid IS NOT NULL AND has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE')
               AS schema_open,
           coalesce(cardinality(t.oids), 0) = 3 AS tables_known,
           has_schema_privilege(n.oid, 'USAGE') IS TRUE
               AND (SELECT bool_and(has_table_privilege(o, p))
                    FROM unnest(t.oids) o, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p) IS TRUE
               AS tables_open,
           EXISTS (SELECT FROM pg_publication WHERE pubname = $2) AS publication_known
    FROM pg_roles r
    LEFT JOIN pg_namespace n ON n.nspname = 'tidegate'
    CROSS JOIN LATERAL (
        SELECT array_agg(c.oid) AS oids FROM pg_class c
        WHERE c.relnamespace = n.oid AND c.relname IN ('canary', 'followed', 'lineage')
    ) t
    WHERE r.rolname = current_user
"""


async def read_facts(control: ControlConnection, slot: str, publication: str) -> ServerFacts:
    """Ask a server what it is and what our role may do there. Works on a standby too."""
    (row,) = await control.fetch(_FACTS, slot, publication)
    return ServerFacts(**dict(row))


async def check_server(control: ControlConnection, slot: str, publication: str) -> None:
    """Make sure that changes can be followed on this server by our role.

    Raises:
        SetupError: They cannot. Each line is a reason, with what mends it.
    """
    reasons = failed(server_findings(await read_facts(control, slot, publication)))
    if reasons:
        raise SetupError("\n".join(map(str, reasons)))


async def prepare_database(control: ControlConnection, publication: str) -> bool:
    """Make the canary's schema and the publication if they are missing.

    Returns:
        Whether the publication is new: a slot that is older cannot be used with it.
    """
    await prepare_canary(control)
    if await find_publication(control, publication) is not None:
        return False
    await create_publication(control, publication)
    return True


async def publish_tables(control: ControlConnection, name: str) -> list[Refused]:
    """Have the publication hold every table that can be followed, whole, and no other, as far as our role may.

    The CDC service does the same table by table while it runs, but never undoes what somebody has narrowed or removed
    on purpose; this is for a person who asks for it.

    Returns:
        The tables that could not be added or taken out, each with what Postgres said.
    """
    publication = await find_publication(control, name) or Publication(owned=True, complete=True)
    if publication.sweeping or not publication.owned:
        return []
    if not publication.complete:
        await complete_publication(control, name)
    tables = await read_tables(control, name)
    plan = plan_following(tables, replace(publication, complete=True), {})
    narrowed = [table for table in tables if table.narrowed and table.owned and table.unfit is None]
    narrowed = [table for table in narrowed if not table.partitioned]
    above = [table for table in tables if table.partitioned and table.entry is not None]
    refused = await drop_tables(control, name, [*plan.drop, *above, *narrowed])
    return refused + await add_tables(control, name, [*plan.add, *narrowed])


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
            raise SetupError(f"{in_use(slot, state)}; it is left in place")
        await asyncio.sleep(_RELEASE_POLL_SECONDS)
    if state is not None:
        if not state.ours:
            raise SetupError(f"replication slot {slot} is not ours: it is left in place")
        await drop_slot(control, slot)
    await drop_publication(control, publication)
    await remove_canary(control, cache)


def in_use(slot: str, state: SlotState) -> str:
    """Say that a slot is in use, by whom, and how to end that."""
    reader = f" ({state.reader})" if state.reader else ""
    return (
        f"replication slot {slot} is in use by process {state.active_pid} of Postgres{reader}: stop `tidegate cdc` or "
        f"`tidegate up` there; if nothing of the kind runs any more, SELECT pg_terminate_backend({state.active_pid})"
    )
