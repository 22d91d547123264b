"""The short form, for `make test`: one stack with the event log in Redis and two CDC services, and one broken one."""

from dataclasses import replace

import pytest

from tests.chaos.conftest import Theatre
from tests.chaos.fault import Fault
from tests.chaos.faults.processes import Killed, Stopped
from tests.chaos.faults.slot import slot_advanced
from tests.chaos.faults.standby import WaitingStandby
from tests.chaos.faults.takeover import ActiveKilled
from tests.chaos.stack import Plan

_PLAN = replace(Plan(), kafka=False, cdc_count=2)

FAULTS: list[Fault] = [
    ActiveKilled(),
    Stopped("proxy"),
    Killed("invalidator"),
    WaitingStandby(),
    slot_advanced(),
    Killed("redis"),
    Killed("postgres"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_contract_is_kept(fault: Fault, theatre: Theatre) -> None:
    outcome = theatre.play(fault, _PLAN)
    assert outcome.is_clean, "\n".join(outcome.details[:20])
    assert outcome.hits > 0


def test_a_cache_that_evicts_when_a_commit_is_decoded_is_found(theatre: Theatre) -> None:
    broken = replace(_PLAN, cdc_count=1, faults={"cdc": "no_gate"})
    assert theatre.play(WaitingStandby(), broken).lost > 0
