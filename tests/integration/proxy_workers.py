"""Which of several workers has a connection: the kernel's choice, so a test has to look."""

from collections.abc import Callable
from contextlib import ExitStack

import psutil

from tests.integration.proxied_postgres import ProxiedPostgres
from tests.integration.wire_client import WireClient
from tests.servers.processes import wait_until

_MOST_ATTEMPTS = 200  # with two workers, so many connections in a row come to one of them once in 2^200 times


def worker_of(proxied: ProxiedPostgres, client: WireClient) -> str:
    """Return the name of the worker that accepted a connection."""
    port = client.socket.getsockname()[1]
    pids = {name: pid for name, pid in proxied.stack.processes.items() if name.startswith("proxy-")}

    def found() -> str | None:
        for name, pid in pids.items():
            for connection in psutil.Process(pid).net_connections("tcp"):
                if getattr(connection.raddr, "port", 0) == port:
                    return name
        return None

    return wait_until(found, "a worker to accept the connection")


def on_worker(proxied: ProxiedPostgres, worker: str, cleanup: ExitStack) -> WireClient:
    """Open connections, which say nothing yet, until a worker accepts one, and return that; `cleanup` closes it."""
    return _until(proxied, lambda name: name == worker, cleanup)


def on_other_worker(proxied: ProxiedPostgres, worker: str, cleanup: ExitStack) -> WireClient:
    """Open connections until another worker than this one accepts one."""
    return _until(proxied, lambda name: name != worker, cleanup)


def _until(proxied: ProxiedPostgres, wanted: Callable[[str], bool], cleanup: ExitStack) -> WireClient:
    for _ in range(_MOST_ATTEMPTS):
        client = WireClient(proxied.url())
        if wanted(worker_of(proxied, client)):
            return cleanup.enter_context(client)
        client.socket.close()
    raise AssertionError(f"no such worker in {_MOST_ATTEMPTS} attempts")
