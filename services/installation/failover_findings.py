"""What it means for a cache that standbys keep a copy of its replication slot."""

from collections.abc import Iterable

from services.cdc.control import ControlConnection
from services.cdc.replication.slot import FAILOVER_SINCE, SlotState, may_outlive_connection
from services.shared.runtime.finding import Finding, Level

_AWAITED = """
    SELECT w.name, s.active IS TRUE
    FROM regexp_split_to_table(coalesce(current_setting('synchronized_standby_slots', true), ''), '\\s*,\\s*') w(name)
    LEFT JOIN pg_replication_slots s ON s.slot_name = btrim(w.name, ' "')
    WHERE w.name <> ''
"""


async def failover_findings(control: ControlConnection, slot: SlotState | None, *, wanted: bool) -> list[Finding]:
    """Look at which standbys hold up the change stream of a slot that fails over.

    Args:
        control: A connection to the primary.
        slot: Our slot; None if there is none.
        wanted: The setting `failover_slot`.
    """
    able = control.version >= FAILOVER_SINCE and await may_outlive_connection(control)
    if not (slot.failover if slot is not None else wanted and able):
        return []
    return list(standby_findings({str(name): bool(reads) for name, reads in await control.fetch(_AWAITED)}))


def standby_findings(awaited: dict[str, bool]) -> Iterable[Finding]:
    """Judge `synchronized_standby_slots`.

    Args:
        awaited: The slots that it names, each with whether a standby reads it now.
    """
    if not awaited:
        return
    absent = [name for name, reads in awaited.items() if not reads]
    text = (
        f"Postgres gives changes to our slot only when the standbys of {', '.join(awaited)} have them "
        "(synchronized_standby_slots); while one of them is away, everything is forwarded"
    )
    if absent:
        text += f". Nobody reads {', '.join(absent)} now"
    remedy = "failover_slot = false (TIDEGATE_FAILOVER_SLOT), if the cache should not depend on standbys"
    yield Finding(Level.WARN, "standbys", text, remedy)
