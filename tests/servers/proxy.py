"""`tidegate proxy` as a process of its own, without the rest of the stack: everything is answered by Postgres."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, free_port, wait_until

_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy that listens.

    Attributes:
        port: On 127.0.0.1, or whatever its `listen` setting says.
        process: The process.
    """

    port: int
    process: ManagedProcess

    def url(self, user: str = "postgres", password: str | None = None, database: str = "postgres") -> str:
        """Return the URL of a database through it."""
        credentials = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/{quote(database)}"


@contextmanager
def running_proxy(database_url: str, *, host: str = "127.0.0.1", **settings: Any) -> Iterator[RunningProxy]:
    """Run a proxy, with no Redis to speak to unless a setting names one, and see that nothing in it crashed.

    Args:
        database_url: The database.
        host: Where it listens.
        settings: Settings of the cache.

    Raises:
        ServerError: It does not listen; its log is in the message.
    """
    port = free_port()
    directory = ServerDirectory("proxy")
    given = {"listen": f"{host}:{port}", "redis_url": f"redis://127.0.0.1:{free_port()}/0", **settings}
    environ = {f"TIDEGATE_{name.upper()}": str(value) for name, value in given.items()}
    process = ManagedProcess(
        "the proxy",
        [sys.executable, "-m", "services.cli", "proxy"],
        directory.path / "log",
        env={**os.environ, **environ, "TIDEGATE_DATABASE_URL": database_url},
    )
    try:
        wait_until(lambda: _listens(port) or not process.running, "the proxy to listen", _START_SECONDS)
        if not process.running:
            raise ServerError(f"the proxy ended\n{process.log()}")
        yield RunningProxy(port, process)
        assert process.running, process.log()
        assert "Traceback" not in process.log(), process.log()
    finally:
        process.stop()
        directory.remove()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
