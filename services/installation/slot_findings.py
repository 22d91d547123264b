"""What the state of the replication slot deserves to have said about it."""

from services.cdc.replication.slot import SlotState
from services.cdc.requirements import NO_LIMIT
from services.shared.runtime.finding import Finding, Level

_MEGABYTE = 1024 * 1024
_NEAR = 0.5  # of what a slot may keep: time to look why


def slot_finding(name: str, slot: SlotState | None, cap_megabytes: int) -> Finding:
    """Judge the slot.

    Args:
        name: Its name.
        slot: The slot; None if there is none.
        cap_megabytes: max_slot_wal_keep_size; -1: none.
    """
    drop = f"SELECT pg_drop_replication_slot('{name}')"
    if slot is None:
        text = f"There is no replication slot {name} yet; the CDC service makes it when it starts"
        return Finding(Level.OK, "slot", text)
    kept = f"it keeps {slot.kept_bytes / _MEGABYTE:.1f} MB of WAL"
    if not slot.ours:
        text = f"There is a replication slot {name}, and it is not ours (of another database or plugin)"
        return Finding(Level.FAIL, "slot", text, f"rename the cache, or drop it if nobody needs it: {drop}", (drop,))
    if slot.lost:
        text = f"The replication slot {name} is lost: Postgres has removed WAL that it still needed"
        remedy = f"start the CDC service, which makes another (the cache begins cold), or {drop}"
        return Finding(Level.FAIL, "slot", text, remedy)
    if slot.active_pid is None:
        unlimited = cap_megabytes == NO_LIMIT
        limit = "without limit, and fills the primary's disk" if unlimited else f"{cap_megabytes} MB at most"
        text = f"Nobody reads the replication slot {name}, and {kept}, {limit}"
        remedy = "start the CDC service; if the cache is not needed any more, tidegate teardown"
        return Finding(Level.FAIL if unlimited else Level.WARN, "slot", text, remedy)
    text = f"The replication slot {name} is read by process {slot.active_pid} ({slot.reader or 'unknown'}); {kept}"
    if cap_megabytes > 0 and slot.kept_bytes > _NEAR * cap_megabytes * _MEGABYTE:
        remedy = (
            f"look at the CDC service's log and at long transactions: at {cap_megabytes} MB the slot is given up and "
            "the cache begins cold"
        )
        return Finding(Level.WARN, "slot", text, remedy)
    return Finding(Level.OK, "slot", text)
