"""What there is to say of the event trigger that tells of DDL. Pure."""

from services.cdc.ddl_trigger import CREATING, DROPS, ENDS, DdlTrigger
from services.shared.runtime.finding import Finding, Level

_TOPIC = "DDL"


def ddl_finding(trigger: DdlTrigger, *, wanted: bool, poll_seconds: float) -> Finding:
    """Say how soon DDL is noticed, and what would make it sooner.

    Args:
        trigger: How the event trigger stands.
        wanted: Whether the settings ask for it.
        poll_seconds: How often the catalog is looked at in any case.
    """
    if trigger.works:
        return Finding(Level.OK, _TOPIC, f"The event triggers {ENDS} and {DROPS} tell of DDL at once")
    slowly = (
        f"DDL is noticed by looking at the catalog every {poll_seconds:g} s; a table that loses its primary key stays "
        "published for up to 2 s, and its UPDATEs and DELETEs fail until then"
    )
    if not wanted:
        return Finding(Level.OK, _TOPIC, f"{slowly} (ddl_trigger = false)")
    if trigger.allowed and trigger.owned:
        return Finding(Level.OK, _TOPIC, f"{slowly}; tidegate setup makes an event trigger that tells of it at once")
    return Finding(
        Level.OK,
        _TOPIC,
        f"{slowly}; our role may not make an event trigger that would tell of it at once",
        "tidegate setup shows the SQL for a superuser, if you like",
        (CREATING.strip().removesuffix(";"),),
    )
