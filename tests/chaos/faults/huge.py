"""One part is killed, or stopped, in the middle of a transaction of 1,000,000 rows.

Three times in one transaction: while its update runs and little of it has been sent, while it is streamed, and just
after its commit. Postgres's own death aborts it, so there it is begun again each time.
"""

from collections.abc import Callable

from tests.chaos.bulk import BulkTransaction
from tests.chaos.fault import Fault, Scene, kill_and_start, pause_and_resume, wait_services
from tests.chaos.faults.processes import CLIENTS_NOTICE, REANNOUNCED_SECONDS
from tests.chaos.stack import Stack
from tests.chaos.workload import Load

_PAUSE_SECONDS = 1.5  # beyond the bound; three of them
_LOAD = Load(direct=1, write_pause_seconds=0.03)


class _InHugeTransaction(Fault):
    """A blow that is dealt in each phase of a huge transaction."""

    load = _LOAD
    recovery_seconds = REANNOUNCED_SECONDS

    def __init__(self, part: str, *, aborts: bool) -> None:
        self.part = part
        self._aborts = aborts

    def blow(self, scene: Scene) -> None:
        """Deal it."""
        raise NotImplementedError

    def strike(self, scene: Scene) -> None:
        """In each phase: wait for it, deal the blow, see that everybody is back."""
        bulk = BulkTransaction(scene.stack, scene.workload)
        for wait in (BulkTransaction.wait_running, BulkTransaction.wait_streaming):
            bulk = self._in_phase(scene, bulk, wait)
        bulk.wait_updated()
        bulk.commit()
        self.blow(scene)
        scene.mend()

    def clean(self, stack: Stack) -> None:
        """Make room for the next one."""
        stack.postgres.execute("VACUUM bulk")

    def _in_phase(
        self, scene: Scene, bulk: BulkTransaction, wait: Callable[[BulkTransaction], None]
    ) -> BulkTransaction:
        wait(bulk)
        self.blow(scene)
        wait_services(scene.stack, self.recovery_seconds)
        if not self._aborts:
            return bulk
        bulk.commit()  # of nothing: its connection is gone
        return BulkTransaction(scene.stack, scene.workload)


class KilledInHugeTransaction(_InHugeTransaction):
    """SIGKILL, and started again at once."""

    expected = "what was streamed is streamed again, bypass while behind, nothing lost"

    def __init__(self, part: str) -> None:
        super().__init__(part, aborts=part == "postgres")
        self.clients_notice = part in CLIENTS_NOTICE
        self.name = f"{part} killed -9 three times in a transaction of 1,000,000 rows"

    def blow(self, scene: Scene) -> None:
        """Kill it and start it again."""
        kill_and_start(scene, self.part)


class StoppedInHugeTransaction(_InHugeTransaction):
    """SIGSTOP for longer than the bound, then SIGCONT."""

    expected = "bypass within the bound, nothing lost"

    def __init__(self, part: str) -> None:
        super().__init__(part, aborts=False)
        self.name = f"{part} stopped three times in a transaction of 1,000,000 rows"

    def blow(self, scene: Scene) -> None:
        """Freeze it for a while."""
        pause_and_resume(scene, self.part, _PAUSE_SECONDS)
