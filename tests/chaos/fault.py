"""What a fault is: a name, what is done, what is expected. Each lives in a file of `faults`, made from this."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from tests.chaos.history import now
from tests.chaos.meter import Meter, Share, share_between
from tests.chaos.stack import Part, Plan, Stack
from tests.chaos.workload import Load, Workload
from tests.servers.processes import wait_until

PAUSE_SECONDS = 2.5
"""How long a part is stopped: well beyond the bound, so that whoever goes on serving is found out."""


_QUIET_SECONDS = 0.5  # without a hit: the cache serves nothing


@dataclass(slots=True)
class Scene:
    """Where a fault is played: the stack, and what goes on in it.

    Attributes:
        stack: The stack.
        workload: The clients.
        meter: The proxy's counters over time.
        struck_at: When the fault began.
        mended_at: When the last of what was done was undone: from here on recovery counts.
        remarks: Figures of this fault alone, for the table.
        lost: Cached values that were wrong when all was quiet, found by the fault itself.
        reads: Answers that the fault itself has checked, beside those in the history.
        violations: Those of them that were older than the bound.
    """

    stack: Stack
    workload: Workload
    meter: Meter
    struck_at: float = 0.0
    mended_at: float = 0.0
    remarks: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    reads: int = 0
    violations: list[str] = field(default_factory=list)

    def strike(self) -> None:
        """Note that the fault begins now, unless it has."""
        self.struck_at = self.struck_at or now()

    def mend(self) -> None:
        """Note that everything is undone now."""
        self.mended_at = now()

    def part(self, name: str) -> Part:
        """Return one of the stack's processes."""
        return self.stack.parts[name]

    def let_pass(self, seconds: float) -> None:
        """Let the load go on for a while: the time that a fault lasts, nobody waits for anything."""
        until = now() + seconds
        wait_until(lambda: now() >= until, "time to pass", seconds + 5)

    def wait_steady(self, seconds: float = 30.0) -> None:
        """Wait until reads have been hits for a while."""
        wait_until(self.meter.is_steady, "reads to be hits", seconds)

    def wait_bypass(self, seconds: float = 10.0) -> None:
        """Wait until nothing is served from the cache."""

        def forwards() -> bool:
            at = now()
            last = self.share(at - _QUIET_SECONDS, at)
            return last.hits == 0 and last.forwarded > 0

        wait_until(forwards, "reads to be forwarded", seconds)

    def share(self, begin: float, end: float) -> Share:
        """Return how turns were answered between two moments."""
        return share_between(self.meter.samples, begin, end)


class Fault(ABC):
    """Something that is done to a stack under load.

    Attributes:
        name: What is done, for the table; unique.
        expected: What has to come of it, for people.
        plan: The stack that it is done to.
        load: What goes on meanwhile.
        recovery_seconds: How long it may take until reads are hits again.
        clients_notice: Whether clients may lose connections; else no statement may fail.
        spoils: Whether the stack is of no use for another fault afterwards.
    """

    name: str
    expected: str
    plan: Plan = Plan()
    load: Load = Load()
    recovery_seconds: float = 30.0
    clients_notice: bool = False
    spoils: bool = False

    def prepare(self, scene: Scene) -> None:  # noqa: B027 - most faults need nothing but the load
        """Make what the fault needs, before reads are waited for to be hits."""

    @abstractmethod
    def strike(self, scene: Scene) -> None:
        """Do it and undo it: `scene.strike()` at its beginning, `scene.mend()` when all is undone."""

    def check(self, scene: Scene) -> None:  # noqa: B027 - most faults expect the contract alone
        """Assert what is expected beyond the contract, after everything has recovered."""

    def clean(self, stack: Stack) -> None:  # noqa: B027 - most faults leave nothing behind
        """Undo what would disturb the next fault on the same stack."""


def kill_and_start(scene: Scene, name: str) -> None:
    """SIGKILL a part, and start it again at once."""
    scene.strike()
    scene.part(name).kill()
    scene.part(name).start()


def pause_and_resume(scene: Scene, name: str, seconds: float = PAUSE_SECONDS) -> None:
    """SIGSTOP a part for a while."""
    part = scene.part(name)
    scene.strike()
    part.pause()
    try:
        scene.let_pass(seconds)
    finally:
        part.resume()


def wait_services(stack: Stack, seconds: float = 30.0) -> None:
    """Wait until one CDC service follows the changes and the others are ready."""
    wait_until(stack.followed_by, "changes to be followed", seconds)
    for service in (*stack.of("invalidator"), *stack.of("proxy")):
        service.wait_ready(seconds)
