"""The suite finds what is broken: each deliberate fault, switched on alone, must show in what clients see."""

from dataclasses import dataclass, field, replace

import pytest

from tests.chaos.conftest import Theatre
from tests.chaos.fault import Fault
from tests.chaos.faults.bucket import FeedTrimmed, RegistrationsLost, UnseenFeedTrimmed
from tests.chaos.faults.crash import AsynchronousCommitsLost
from tests.chaos.faults.nothing import CdcAway, Nothing
from tests.chaos.faults.queries import SlowQueries
from tests.chaos.faults.refill import RefillRace
from tests.chaos.faults.standby import OwnWritesReleased, SlotAdvancedPastHeld, SlotAdvancedUnnoticed, WaitingStandby
from tests.chaos.faults.strong import StrongReads
from tests.chaos.faults.twins import KilledMidScript
from tests.chaos.faults.ways import Slow
from tests.chaos.play import Outcome

_TTL: dict[str, str | int] = {"max_entry_age": "10s"}
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Bite:
    """A broken cache, what is played on it, and what has to be found.

    Attributes:
        name: What it is called in the table.
        broken: Which service has which fault of `tests.chaos.broken`.
        fault: What is played.
        found: Of the outcome, at least one of which must not be 0.
        settings: Of the cache.
    """

    name: str
    broken: dict[str, str]
    fault: Fault
    found: tuple[str, ...]
    settings: dict[str, str | int] = field(default_factory=dict)


def alone(fault: str, service: str, played: Fault, *found: str, settings: dict[str, str | int] | None = None) -> Bite:
    """Return a cache with one deliberate fault."""
    return Bite(fault, {service: fault}, played, found, settings or {})


BITES = [
    Bite("plain_ttl", {"invalidator": "no_evictions", "proxy": "trusts_for_ever"}, Nothing(), ("stale",), _TTL),
    Bite("evict_on_event", {"cdc": "no_gate", "proxy": "unchecked_fills"}, RefillRace(_ROUNDS), ("lost",)),
    Bite("lease_only", {"cdc": "no_gate"}, RefillRace(_ROUNDS), ("lost",)),
    alone("no_gate", "cdc", WaitingStandby(), "lost"),
    alone("watermark_first", "cdc", Nothing(), "stale"),
    alone("drops_evictions", "invalidator", Nothing(), "stale", "lost"),
    alone("no_evictions", "invalidator", Nothing(), "stale", settings={"max_entry_age": "3s"}),
    alone("trusts_for_ever", "proxy", CdcAway(), "stale"),
    alone("unchecked_fills", "proxy", Slow("proxy-postgres"), "stale", "lost"),
    alone("no_tokens", "proxy", Nothing(), "wrong"),
    alone("covers_held", "cdc", OwnWritesReleased(), "wrong"),
    alone("late_positions", "proxy", Slow("proxy-postgres"), "stale", "lost"),
    alone("ignores_feed_gaps", "proxy", UnseenFeedTrimmed(), "stale", "lost"),
    alone("no_floor", "proxy", FeedTrimmed(), "stale", "lost"),
    alone("place_first", "invalidator", KilledMidScript(), "stale", "lost"),
    alone("no_barrier", "cdc", SlotAdvancedPastHeld(), "stale", "lost"),
    alone("resumes_by_watermark", "invalidator", SlotAdvancedUnnoticed(), "stale", "lost"),
    alone("ignores_registry", "proxy", RegistrationsLost(), "stale", "lost"),
    alone("joins_any_flight", "proxy", SlowQueries(), "wrong"),
    alone("strong_looks_first", "proxy", StrongReads(), "stale"),
    alone("no_canary", "cdc", AsynchronousCommitsLost(), "stale", "wrong", "lost"),
]


@pytest.mark.parametrize("bite", BITES, ids=lambda bite: bite.name)
def test_a_broken_cache_is_found(bite: Bite, theatre: Theatre) -> None:
    plan = replace(
        bite.fault.plan, kafka=False, faults=bite.broken, settings={**bite.fault.plan.settings, **bite.settings}
    )
    outcome = theatre.play(bite.fault, plan)
    theatre.ledger.add_bite(bite.name, outcome)
    assert found(outcome, bite), outcome


def found(outcome: Outcome, bite: Bite) -> bool:
    return any(getattr(outcome, what) > 0 for what in bite.found)
