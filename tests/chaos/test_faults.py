"""Every fault, on a stack with Kafka, and some with the event log in Redis."""

from collections.abc import Callable

import pytest

from tests.chaos.fault import Fault
from tests.chaos.faults import brokers, log, redis, schema, slot, transactions, twins
from tests.chaos.faults.bucket import FeedTrimmed, RegistrationsLost
from tests.chaos.faults.clock import WallClockJumps, killed_meanwhile
from tests.chaos.faults.crash import AsynchronousCommitsLost, ProcessKilled
from tests.chaos.faults.frozen import FrozenBeforeFill, SlowReader
from tests.chaos.faults.herd import Herd
from tests.chaos.faults.huge import KilledInHugeTransaction, StoppedInHugeTransaction
from tests.chaos.faults.processes import PARTS, Killed, Stopped
from tests.chaos.faults.promotion import PromotedWithOldAlive
from tests.chaos.faults.publication import PublicationNarrowed, TableTakenOut
from tests.chaos.faults.queries import SlowQueries
from tests.chaos.faults.refill import RefillRace
from tests.chaos.faults.standby import EverybodyWaits, OwnWritesReleased, SlotAdvancedPastHeld, WaitingStandby
from tests.chaos.faults.strong import StrongReads
from tests.chaos.faults.takeover import ActiveKilled, ActiveStopped, ActiveStoppedShortly
from tests.chaos.faults.wal import WalFilled
from tests.chaos.faults.ways import Cut, Slow, Stalled
from tests.chaos.play import Outcome

_WITHOUT_KAFKA = ("cdc", "invalidator", "redis")
_WAYS = ("proxy-postgres", "proxy-redis", "cdc-postgres", "cdc-kafka", "invalidator-kafka", "invalidator-redis")

FAULTS: list[Fault] = [
    *(kind(part) for part in PARTS for kind in (Killed, Stopped)),
    *(kind(part) for part in PARTS for kind in (KilledInHugeTransaction, StoppedInHugeTransaction)),
    *(Stalled(way) for way in _WAYS),
    *(Cut(way) for way in ("cdc-kafka", "cdc-postgres", "proxy-redis", "invalidator-redis")),
    Slow("proxy-postgres"),
    SlowQueries(),
    *(make() for make in slot.FAULTS),
    WaitingStandby(),
    EverybodyWaits(),
    *(fault for make in log.FAULTS if (fault := make()).plan.kafka),
    ActiveKilled(),
    ActiveStoppedShortly(),
    ActiveStopped(),
    WalFilled(),
    *(make() for make in redis.FAULTS),
    *(make() for make in brokers.FAULTS),
    ProcessKilled("client backend"),
    ProcessKilled("walwriter"),
    AsynchronousCommitsLost(),
    PromotedWithOldAlive(),
    RefillRace(),
    OwnWritesReleased(),
    SlotAdvancedPastHeld(),
    FeedTrimmed(),
    RegistrationsLost(),
    TableTakenOut(),
    PublicationNarrowed(),
    FrozenBeforeFill(),
    SlowReader(),
    Herd(),
    StrongReads(),
    WallClockJumps(),
    killed_meanwhile(),
    *twins.FAULTS,
    *schema.FAULTS,
    *transactions.FAULTS,
    *(kind(part, kafka=False) for part in _WITHOUT_KAFKA for kind in (Killed, Stopped)),
    *(fault for make in log.FAULTS if not (fault := make()).plan.kafka),
]


@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault.name} ({'kafka' if fault.plan.kafka else 'redis'})"
)
def test_the_contract_is_kept(fault: Fault, keeps_contract: Callable[[Fault], Outcome]) -> None:
    keeps_contract(fault)
