"""What the state of the replication slot deserves to have said about it. Pure."""

from dataclasses import dataclass

from services.cdc.replication.slot import SlotState
from services.cdc.requirements import NO_LIMIT
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.quantities import format_duration, format_size

_MEGABYTE = 1024 * 1024
_NEAR = 0.5  # of what a slot may keep: time to look why


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """What ends a slot.

    Attributes:
        cap_megabytes: max_slot_wal_keep_size, beyond which Postgres removes WAL all the same; -1: none.
        kept_bytes: slot_limit, beyond which a proxy drops the slot; 0: none.
        patience_seconds: slot_patience, after which a proxy drops one that nobody uses; 0: none.
    """

    cap_megabytes: int
    kept_bytes: int
    patience_seconds: float

    @property
    def most_bytes(self) -> int:
        """What the slot can keep back before somebody gives it up; 0: any amount."""
        caps = [self.kept_bytes, max(0, self.cap_megabytes) * _MEGABYTE if self.cap_megabytes >= 0 else 0]
        return min((cap for cap in caps if cap), default=0)

    def __str__(self) -> str:
        ends = []
        if self.kept_bytes:
            ends.append(f"when it keeps back more than {format_size(self.kept_bytes)} (slot_limit)")
        if self.patience_seconds:
            ends.append(f"when nobody has used it for {format_duration(self.patience_seconds)} (slot_patience)")
        told = (
            f"a proxy gives it up {' or '.join(ends)}" if ends else "no proxy gives it up (slot_limit, slot_patience)"
        )
        if self.cap_megabytes >= 0:
            told += f", Postgres beyond {format_size(self.cap_megabytes * _MEGABYTE)} (max_slot_wal_keep_size)"
        return told


def slot_finding(name: str, slot: SlotState | None, limits: SlotLimits) -> Finding:
    """Judge the slot.

    Args:
        name: Its name.
        slot: The slot; None if there is none.
        limits: What ends it.
    """
    cap_megabytes = limits.cap_megabytes
    drop = f"SELECT pg_drop_replication_slot('{name}')"
    if slot is None:
        text = f"There is no replication slot {name} yet; the CDC service makes it when it starts"
        return Finding(Level.OK, "slot", text)
    kept = f"it keeps {slot.kept_bytes / _MEGABYTE:.1f} MB of WAL back"
    if not slot.ours:
        text = f"There is a replication slot {name}, and it is not ours (of another database or plugin)"
        return Finding(Level.FAIL, "slot", text, f"rename the cache, or drop it if nobody needs it: {drop}", (drop,))
    if slot.lost:
        text = f"The replication slot {name} is lost: Postgres has removed WAL that it still needed"
        remedy = f"start the CDC service, which makes another (the cache begins cold), or {drop}"
        return Finding(Level.FAIL, "slot", text, remedy)
    if slot.active_pid is None:
        unlimited = cap_megabytes == NO_LIMIT
        limit = ", without limit, and fills the primary's disk" if unlimited else ""
        text = f"Nobody reads the replication slot {name}, and {kept}{limit}; {limits}"
        remedy = "start the CDC service; if the cache is not needed any more, tidegate teardown"
        return Finding(Level.FAIL if unlimited else Level.WARN, "slot", text, remedy)
    reader = f"process {slot.active_pid} ({slot.reader or 'unknown'})"
    text = f"The replication slot {name} is read by {reader}; {kept}; {limits}"
    if limits.most_bytes and slot.kept_bytes > _NEAR * limits.most_bytes:
        remedy = (
            "look at the CDC service's log and at long transactions: at "
            f"{format_size(limits.most_bytes)} the slot is given up and the cache begins cold"
        )
        return Finding(Level.WARN, "slot", text, remedy)
    return Finding(Level.OK, "slot", text)
