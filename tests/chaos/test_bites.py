"""The suite finds what is broken: each deliberate fault, switched on alone, must show in what clients see."""

from dataclasses import dataclass, field, replace

import pytest

from tests.chaos.conftest import Theatre
from tests.chaos.fault import Fault
from tests.chaos.faults.nothing import CdcAway, Nothing
from tests.chaos.faults.standby import WaitingStandby
from tests.chaos.faults.ways import Slow
from tests.chaos.play import Outcome
from tests.chaos.stack import Plan

BASE = replace(Plan(), kafka=False)


@dataclass(frozen=True, slots=True)
class Bite:
    """A deliberate fault, what is played on it, and what has to be found.

    Attributes:
        broken: Its name in `tests.chaos.broken`.
        service: The service that has it.
        fault: What is played.
        found: Of the outcome, at least one of which must not be 0.
        settings: Of the cache.
    """

    broken: str
    service: str
    fault: Fault
    found: tuple[str, ...]
    settings: dict[str, str | int] = field(default_factory=dict)


BITES = [
    Bite("no_gate", "cdc", WaitingStandby(), ("lost",)),
    Bite("watermark_first", "cdc", Nothing(), ("stale",)),
    Bite("drops_evictions", "invalidator", Nothing(), ("stale", "lost")),
    Bite("no_evictions", "invalidator", Nothing(), ("stale",), {"max_entry_age": "3s"}),
    Bite("trusts_for_ever", "proxy", CdcAway(), ("stale",)),
    Bite("unchecked_fills", "proxy", Slow("proxy-postgres"), ("stale", "lost")),
    Bite("no_tokens", "proxy", Nothing(), ("wrong",)),
]


@pytest.mark.parametrize("bite", BITES, ids=lambda bite: bite.broken)
def test_a_broken_cache_is_found(bite: Bite, theatre: Theatre) -> None:
    plan = replace(BASE, faults={bite.service: bite.broken}, settings=bite.settings)
    outcome = theatre.play(bite.fault, plan)
    theatre.bites[bite.broken] = outcome
    assert found(outcome, bite), outcome


def found(outcome: Outcome, bite: Bite) -> bool:
    return any(getattr(outcome, what) > 0 for what in bite.found)
