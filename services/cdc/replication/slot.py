"""Our replication slot: exclusive, and never a danger to the primary's disk.

A slot keeps all WAL that has not been confirmed. While the CDC service is away, that fills the disk of the database,
for the sake of a cache (H34). So the slot outlives a connection only where `max_slot_wal_keep_size` sets a limit;
elsewhere it is temporary, gone with the connection, and each connection starts a stream epoch.

From 17 on Postgres can keep a copy of a slot that asks for it (`failover`) on its standbys, so that it is there already
after a promotion. The stream epoch ends then all the same, with the timeline (H40): what is won is that no slot has to
be made on a new primary that is busy.
"""

from dataclasses import dataclass

from services.cdc.control import ControlConnection
from services.cdc.errors import SetupError
from services.cdc.replication.errors import SlotBusyError
from services.cdc.replication.stream import ReplicationConnection
from services.shared.lsn import Lsn, parse_lsn

PLUGIN = "pgoutput"
FAILOVER_SINCE = 17
"""Major version from which slots can be kept on standbys."""

_FIND = """
    SELECT s.plugin, s.database = current_database(), s.temporary, s.active_pid, s.wal_status = 'lost',
           s.confirmed_flush_lsn::text, coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint,
           coalesce(a.application_name || ' from ' || coalesce(host(a.client_addr), 'the same machine'), ''),
           coalesce((to_jsonb(s) ->> 'failover')::bool, false)
    FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = $1
"""
_WAL_LIMIT = "SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"  # megabytes; -1: none


@dataclass(frozen=True, slots=True)
class SlotState:
    """A slot as Postgres shows it.

    Attributes:
        ours: Whether it is one that we would make: of our plugin and database.
        temporary: Whether it goes with its connection.
        active_pid: The walsender that uses it; None if nobody does.
        lost: Whether it can give no more changes.
        confirmed: What lies below is never sent; None before the first use.
        kept_bytes: How much WAL the server keeps for it, and would not need to without it.
        reader: What uses it, and from where, as far as our role may know.
        failover: Whether standbys keep a copy.
    """

    ours: bool
    temporary: bool
    active_pid: int | None
    lost: bool
    confirmed: Lsn | None
    kept_bytes: int
    reader: str
    failover: bool = False


async def find_slot(control: ControlConnection, name: str) -> SlotState | None:
    """Look a slot up; None if there is none of that name."""
    rows = await control.fetch(_FIND, name)
    if not rows:
        return None
    plugin, same_database, temporary, active_pid, lost, confirmed, kept_bytes, reader, failover = rows[0]
    return SlotState(
        ours=plugin == PLUGIN and bool(same_database),
        temporary=temporary,
        active_pid=active_pid,
        lost=bool(lost),
        confirmed=parse_lsn(confirmed) if confirmed else None,
        kept_bytes=kept_bytes,
        reader=reader,
        failover=failover,
    )


async def may_outlive_connection(control: ControlConnection) -> bool:
    """Tell whether Postgres limits what a slot keeps."""
    ((limit,),) = await control.fetch(_WAL_LIMIT)
    return bool(limit >= 0)


async def prepare_slot(
    control: ControlConnection,
    replication: ReplicationConnection,
    name: str,
    *,
    anew: bool = False,
    failover: bool = False,
) -> bool:
    """See to it that our slot is there and can be started.

    Creating one waits for all transactions that are open on the whole server.

    Args:
        control: An ordinary connection.
        replication: The connection that will stream; a temporary slot belongs to it.
        name: Name of the slot.
        anew: Whether one that exists is of no use.
        failover: Whether standbys should keep a copy, where the server can have them do it.

    Returns:
        Whether the slot is new.

    Raises:
        SetupError: Another slot has our name.
        SlotBusyError: Someone uses ours.
    """
    durable = await may_outlive_connection(control)
    failover = failover and durable and control.version >= FAILOVER_SINCE
    slot = await find_slot(control, name)
    if slot is not None:
        if not slot.ours:
            raise SetupError(
                f"the replication slot {name} exists and is not ours: "
                f"rename the cache, or drop it: SELECT pg_drop_replication_slot('{name}')"
            )
        if slot.active_pid is not None:
            raise SlotBusyError(f"replication slot {name} is in use by process {slot.active_pid} of Postgres")
        if durable and not slot.lost and not anew and not slot.temporary:
            if slot.failover != failover:
                await replication.query(f'ALTER_REPLICATION_SLOT "{name}" (FAILOVER {str(failover).lower()})')
            return False
        await drop_slot(control, name)
    lifetime = "" if durable else "TEMPORARY "
    options = "(SNAPSHOT 'nothing', FAILOVER true)" if failover else "NOEXPORT_SNAPSHOT"
    await replication.query(f'CREATE_REPLICATION_SLOT "{name}" {lifetime}LOGICAL {PLUGIN} {options}')
    return True


async def drop_slot(control: ControlConnection, name: str) -> None:
    """Drop a slot if it is there."""
    await control.fetch(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1", name
    )
