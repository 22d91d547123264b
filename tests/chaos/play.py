"""Plays a fault: load, the fault, recovery, silence; then judges every read and looks at everything that is cached."""

from dataclasses import dataclass

from tests.chaos.audit import lost_evictions
from tests.chaos.checker import Kind, Verdict, check, lost_writes
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import now
from tests.chaos.meter import Meter, longest_bypass, recovered_at
from tests.chaos.stack import Stack
from tests.chaos.workload import Workload, fresh_values

_AFTER_SECONDS = 1.0  # of load, once reads are hits again


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault.

    Attributes:
        fault: Its name.
        log: Where the event log was.
        reads: Answers that were checked.
        hits: Those from the cache, as the proxy counts them.
        stale: Answers that were older than the bound.
        wrong: Answers that were wrong in another way.
        lost: Cached values that were wrong when all was quiet: evictions that are lost.
        bypass_seconds: The longest stretch of time in which nothing came from the cache.
        recovery_seconds: From when everything was undone to the next hit.
        oldest_seconds: How old the oldest answer certainly was.
        troubles: Statements and connections of clients that failed.
        remarks: Figures of this fault alone.
        details: What is wrong, one line each.
    """

    fault: str
    log: str
    reads: int
    hits: int
    stale: int
    wrong: int
    lost: int
    bypass_seconds: float
    recovery_seconds: float
    oldest_seconds: float
    troubles: int
    remarks: tuple[str, ...]
    details: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the contract was kept."""
        return not self.details


def play(stack: Stack, fault: Fault) -> Outcome:
    """Play a fault on a running stack, and judge what its clients saw.

    Raises:
        ServerError, AssertionError: The stack did not recover, or not as is expected of this fault.
    """
    with (
        Workload(stack, fault.load) as workload,
        Meter(stack.of("proxy")) as meter,
    ):
        scene = Scene(stack, workload, meter)
        fault.prepare(scene)
        scene.wait_steady(fault.recovery_seconds)
        fault.strike(scene)
        wait_services(stack, fault.recovery_seconds)
        scene.wait_steady(fault.recovery_seconds)
        scene.let_pass(_AFTER_SECONDS)
        ended_at = now()
        workload.stop_writing()
        scene.let_pass(stack.max_staleness)  # from here on the bound excuses nothing
        lost = scene.lost + lost_evictions(stack, workload)
        fault.check(scene)
    troubles = workload.history.troubles
    assert fault.clients_notice or not troubles, f"clients had {len(troubles)} errors, the first: {troubles[0]}"
    verdict = check(workload.history, stack.max_staleness)
    missing = lost_writes(workload.history, fresh_values(stack.direct_url))
    assert not missing, f"the harness is broken, or Postgres is: {missing}"
    return _outcome(fault, scene, verdict, lost, ended_at)


def _outcome(fault: Fault, scene: Scene, verdict: Verdict, lost: list[str], ended_at: float) -> Outcome:
    samples = scene.meter.samples
    stale = len(verdict.of(Kind.STALE))
    return Outcome(
        fault=fault.name,
        log="Kafka" if scene.stack.plan.kafka else "Redis",
        reads=verdict.reads + scene.reads,
        hits=int(scene.share(0, now()).hits),
        stale=stale + len(scene.violations),
        wrong=len(verdict.violations) - stale,
        lost=len(lost),
        bypass_seconds=longest_bypass(samples, scene.struck_at, ended_at),
        recovery_seconds=recovered_at(samples, scene.mended_at, ended_at) - scene.mended_at,
        oldest_seconds=verdict.oldest_seconds,
        troubles=len(scene.workload.history.troubles),
        remarks=tuple(scene.remarks),
        details=(*map(str, verdict.violations), *scene.violations, *lost),
    )
