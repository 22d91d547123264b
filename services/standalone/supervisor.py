"""Keep a set of services running: start, watch, start again, stop in order.

Every service has a keeper, a task that runs its program and starts it again with a growing delay when it ends, whatever
the exit code: a service of the stack has no reason to end. Services are started in the order in which they are added,
and stopped in the opposite order, stage by stage.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from services.shared.runtime.backoff import Backoff
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.logging import get_logger
from services.standalone.child import Child
from services.standalone.program import Service

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0
_STEADY_SECONDS = 30.0  # a program that ran this long had got over what ended the one before it
_ENDS_BEFORE_READY = 3  # at the start of the stack: after so many it is not bad luck but a wrong setting
_LAST_LINES = 12  # of a program's output, quoted when the stack cannot start
_POLL_SECONDS = 0.05

AfterStop = Callable[[], Awaitable[None]]

Receive = Callable[[str, str], None]
"""Takes the name of a service and one line that it printed."""

_log = get_logger(__name__)


class StartError(Refusal):
    """A service does not become ready. The message is for people and quotes what the service said last."""


class Keeper:
    """Keeps one service running."""

    def __init__(self, service: Service, receive: Receive, on_change: Callable[[], None]) -> None:
        self.service = service
        self.pid: int | None = None  # of the program that runs now; while none runs, of the last one
        self.start_count = 0
        self.running = False
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._receive = receive
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run the program, and go on until `stop`."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.service.name}")

    async def stop(self) -> None:
        """End the program for good."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _keep(self) -> None:
        backoff = Backoff(_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        while not self._stopping.is_set():
            started = time.monotonic()
            reason = await self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _STEADY_SECONDS:
                backoff.reset()
            delay = backoff.next_delay()
            _log.warning("process ended, starts again", name=self.service.name, how=reason, in_seconds=round(delay, 3))
            await _wait_for(self._stopping, delay)

    async def _run_once(self) -> str:
        """Run the program to its end, or end it when the keeper is to stop. Returns how it ended."""
        try:
            child = await Child.start(self.service.program(), self._take)
        except OSError as error:
            return f"cannot be started: {error}"
        self.pid, self.running = child.pid, True
        self.start_count += 1
        self._on_change()
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        code = await (ended if ended.done() else child.stop())
        await ended
        self.running = False
        return f"exit code {code}" if code >= 0 else f"signal {-code}"

    def _take(self, line: str) -> None:
        self.last_lines.append(line)
        self._receive(self.service.name, line)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Services that are started and stopped together."""

    keepers: list[Keeper]
    after: AfterStop | None


class Supervisor:
    """The services of the stack, in the order in which they were started."""

    def __init__(self, receive: Receive, on_change: Callable[[], None]) -> None:
        self._receive = receive
        self._on_change = on_change
        self._keepers: dict[str, Keeper] = {}
        self._stages: list[_Stage] = []

    @property
    def keepers(self) -> Sequence[Keeper]:
        """All keepers, in the order in which they were started."""
        return list(self._keepers.values())

    @property
    def processes(self) -> dict[str, int]:
        """The process id of every service."""
        return {name: keeper.pid for name, keeper in self._keepers.items() if keeper.pid is not None}

    def start(self, services: Iterable[Service], after: AfterStop | None = None) -> None:
        """Start services together; they form one stage, which is stopped together before the stages below it.

        Args:
            services: What to start.
            after: Called when the stage has been stopped and the stages below it still run.
        """
        stage = _Stage([], after)
        for service in services:
            keeper = Keeper(service, self._receive, self._on_change)
            self._keepers[service.name] = keeper
            keeper.start()
            stage.keepers.append(keeper)
        self._stages.append(stage)

    async def wait_ready(self, seconds: float) -> None:
        """Wait until every service is ready.

        Args:
            seconds: The longest wait.

        Raises:
            StartError: One of them ended several times, or is not ready in time.
        """
        deadline = time.monotonic() + seconds
        waiting = self.keepers
        while waiting:
            waiting = [keeper for keeper in waiting if not (keeper.running and await keeper.service.is_ready())]
            for keeper in waiting:
                if keeper.start_count >= _ENDS_BEFORE_READY and not keeper.running:
                    raise _start_error(keeper, f"ended {keeper.start_count} times before it was ready")
            if waiting and time.monotonic() > deadline:
                raise _start_error(waiting[0], f"was not ready after {seconds:.0f} s")
            if waiting:
                await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        """End all services, the last stage first."""
        while self._stages:
            stage = self._stages.pop()
            await asyncio.gather(*(keeper.stop() for keeper in stage.keepers))
            if stage.after is not None:
                await stage.after()


def _start_error(keeper: Keeper, what: str) -> StartError:
    said = "".join(f"\n    {line}" for line in keeper.last_lines)
    return StartError(f"{keeper.service.name} {what}." + (f" It said last:{said}" if said else " It said nothing."))


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, but not longer than some seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
