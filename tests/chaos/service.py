"""One of our services as a process of its own, started the way a user starts it, or broken on purpose."""

import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.servers.processes import ManagedProcess, ServerError, free_port, wait_until

_SERIES = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)
_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_SCRAPE_SECONDS = 1.0


class Service:
    """`tidegate proxy`, `tidegate cdc` or `tidegate invalidator`.

    Attributes:
        fault: See below; for the next start.

    Args:
        name: How to call it, and its log.
        command: The subcommand.
        settings: Settings of the cache and of the process, by their names in lower case.
        folder: Where its log goes; appended to by every start.
        fault: What `tests.chaos.broken` does to it before it runs; empty: nothing.
    """

    def __init__(
        self, name: str, command: str, settings: Mapping[str, str | int], folder: Path, fault: str = ""
    ) -> None:
        self.name = name
        self._command = command
        self._settings = dict(settings)
        self._log_path = folder / f"{name}.log"
        self.fault = fault
        self._metrics_port = free_port()
        self._process: ManagedProcess | None = None

    @property
    def process(self) -> ManagedProcess:
        """Its process, the last one.

        Raises:
            ServerError: It has not been started.
        """
        if self._process is None:
            raise ServerError(f"{self.name} has not been started")
        return self._process

    def start(self) -> "Service":
        """Start it; `wait_ready` tells when it does its work."""
        module = ["-m", "tests.chaos.broken", self.fault] if self.fault else ["-m", "services.cli"]
        given = self._settings | {"metrics_listen": f"127.0.0.1:{self._metrics_port}", "log_format": "json"}
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
        environ |= {f"TIDEGATE_{name.upper()}": str(value) for name, value in given.items()}
        self._process = ManagedProcess(self.name, [sys.executable, *module, self._command], self._log_path, env=environ)
        return self

    def wait_ready(self, seconds: float = _READY_SECONDS) -> None:
        """Wait until it says that it does its work.

        Raises:
            ServerError: It does not, or has ended; its log is in the message.
        """
        wait_until(lambda: self.ready or not self.process.running, f"{self.name} to be ready", seconds)
        if not self.process.running:
            raise ServerError(f"{self.name} ended:\n{self.log()[-4000:]}")

    @property
    def ready(self) -> bool:
        """Whether it says so now."""
        try:
            with urlopen(f"http://127.0.0.1:{self._metrics_port}/readyz", timeout=_SCRAPE_SECONDS):
                return True
        except (URLError, OSError):
            return False

    def metrics(self) -> dict[str, float] | None:
        """Return its counters and gauges by name, summed over their labels.

        None when it does not answer, as one that is stopped or dead.
        """
        try:
            with urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=_SCRAPE_SECONDS) as page:
                text: str = page.read().decode()
        except (URLError, OSError):
            return None
        found: dict[str, float] = {}
        for name, value in _SERIES.findall(text):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def metric(self, name: str) -> float:
        """Return one of them; 0 when there is none."""
        return (self.metrics() or {}).get(name, 0.0)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.process.resume()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.running:
            self._process.stop(signal.SIGTERM, _STOP_SECONDS)

    def destroy(self) -> None:
        """End it however it is."""
        if self._process is not None and self._process.running:
            self._process.kill()

    def log(self) -> str:
        """Everything that it has logged, over all starts."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""
