"""One of Tidegate's own services as a process: `tidegate proxy`, `tidegate cdc` or `tidegate invalidator`."""

import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from services.shared.runtime.settings import CacheSettings, ProcessSettings
from services.standalone.http import FetchError, fetch
from services.standalone.plan import service_environment
from services.standalone.ports import free_port
from services.standalone.program import Program, Service

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 1.0  # for a page of metrics or health
_STOP_SECONDS = 10.0  # beside what a proxy waits for its clients


class Worker:
    """A process of one of the services, and the way to its metrics."""

    def __init__(
        self,
        name: str,
        command: str,
        *,
        environ: Mapping[str, str],
        process: ProcessSettings,
        cache: CacheSettings,
        working_directory: Path,
    ) -> None:
        """Prepare it.

        Args:
            name: What the process is called.
            command: The subcommand of `tidegate`.
            environ: The environment of the stack.
            process: Settings of the process; where its metrics are is chosen here.
            cache: Settings of its cache.
            working_directory: Where it runs: somewhere without a `tidegate.toml`.
        """
        self.name = name
        self._command = command
        self._environ = environ
        self._process = process
        self._cache = cache
        self._working_directory = working_directory
        self._metrics_port = 0  # of the process that was started last

    @property
    def service(self) -> Service:
        """The process, to be kept running."""
        return Service(self.name, self._program, self.is_ready)

    def _program(self) -> Program:
        self._metrics_port = free_port(_HOST)
        metrics_listen = f"{_HOST}:{self._metrics_port}"
        return Program(
            argv=(sys.executable, "-P", "-m", "services.cli", self._command),
            environment=service_environment(self._environ, self._process, self._cache, metrics_listen=metrics_listen),
            working_directory=self._working_directory,
            stop_seconds=_STOP_SECONDS + (self._cache.drain_timeout if self._command == "proxy" else 0.0),
        )

    async def is_ready(self) -> bool:
        """Whether it says that it does its work."""
        try:
            page = await fetch(_HOST, self._metrics_port, "/readyz", _PATIENCE_SECONDS)
        except FetchError:
            return False
        return page.status == HTTPStatus.OK

    async def metrics(self) -> str | None:
        """Return its metrics as Prometheus text; None when it does not answer."""
        return await self.text("/metrics")

    async def text(self, path: str) -> str | None:
        """Return one of its pages; None when it does not answer, or has none such."""
        try:
            page = await fetch(_HOST, self._metrics_port, path, _PATIENCE_SECONDS)
        except FetchError:
            return None
        return page.body.decode(errors="replace") if page.status == HTTPStatus.OK else None


def make_workers(
    environ: Mapping[str, str], process: ProcessSettings, cache: CacheSettings, working_directory: Path
) -> tuple[list[Worker], list[Worker], list[Worker]]:
    """Return the CDC service, the invalidator and the proxies: three stages, in the order in which they start."""

    def worker(name: str, command: str, index: int = 0, count: int = 1) -> Worker:
        own = process.model_copy(update={"worker_index": index, "workers": count})
        return Worker(name, command, environ=environ, process=own, cache=cache, working_directory=working_directory)

    proxies = [worker(f"proxy-{index}", "proxy", index, process.workers) for index in range(process.workers)]
    return [worker("cdc", "cdc")], [worker("invalidator", "invalidator")], proxies
