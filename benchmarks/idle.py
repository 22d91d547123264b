"""Idle clients: how much memory each of them costs a proxy worker, and whether all of them still work afterwards."""

import contextlib
import ssl
from dataclasses import dataclass

import psutil

from services.shared.pgwire.frontend import Bind, Execute, Parse, Query, Sync
from services.shared.pgwire.startup import SSL_ACCEPTED, SSLRequest
from tests.integration.wire_client import WireClient, rows
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError, wait_until
from tests.servers.stack import RunningStack, running_stack

_CONTROL_CONNECTIONS = 50  # of the stack itself, and Postgres's reserve
_SQL = "CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things VALUES (1, 'one')"
_READ = b"SELECT name FROM things WHERE id = 1"
_CALM_LOOKS = 100  # equal readings in a row, 5 ms apart: the memory has settled
_SETTLE_SECONDS = 30.0
_WARM_CLIENTS = 20  # before the first reading, so that what is only paid once is not shared out


@dataclass(frozen=True, slots=True)
class IdleCost:
    """What idle clients cost.

    Attributes:
        kind: What they had done before they fell idle.
        clients: How many they were.
        bytes_each: Growth of the worker's resident memory for each.
        worker_bytes: The worker's resident memory with all of them.
        answered: How many of them got the right answer afterwards.
    """

    kind: str
    clients: int
    bytes_each: float
    worker_bytes: int
    answered: int


def measure_idle(clients: int) -> list[IdleCost]:
    """Connect so many clients, let them idle, and look at the worker's memory."""
    with PostgresServer(max_connections=clients + _CONTROL_CONNECTIONS) as server:
        server.execute(_SQL)
        costs: list[IdleCost] = []
        for kind, turn in KINDS.items():
            with running_stack(server.url(), "--workers", "1") as stack:
                costs.append(measure_kind(stack, kind, clients, turn))
        return costs


_PREPARED = (Parse(b"s", _READ), Bind(b"", b"s", (), (), ()), Execute(b""), Sync())
_LONG = Query(f"SELECT length('{'x' * 100_000}')".encode())
UNDER_TLS = "under TLS, after a simple query"
KINDS = {
    "connected": (),
    "after a simple query": (Query(_READ),),
    "after a prepared statement": _PREPARED,
    "after a statement of 100 KB": (_LONG,),
    UNDER_TLS: (Query(_READ),),
}


def measure_kind(
    stack: RunningStack, kind: str, clients: int, turn: tuple[Parse | Bind | Execute | Sync | Query, ...]
) -> IdleCost:
    """Measure clients of one kind."""
    worker = psutil.Process(stack.processes["proxy-0"])
    opened: list[WireClient] = []
    try:
        for number in range(_WARM_CLIENTS + clients):
            if number == _WARM_CLIENTS:
                before = _settled_bytes(worker)
            opened.append(_connect(stack.database_url, encrypted=kind == UNDER_TLS).start())
            if turn:
                opened[-1].turns(*turn)
        after = _settled_bytes(worker)
        answered = sum(rows(client.turns(Query(_READ))) == [[b"one"]] for client in opened)
    finally:
        for client in opened:
            client.socket.close()
    return IdleCost(kind, clients, (after - before) / clients, after, answered - _WARM_CLIENTS)


def _connect(url: str, *, encrypted: bool) -> WireClient:
    client = WireClient(url)
    if encrypted:
        client.send(SSLRequest().encode())
        assert client.socket.recv(1) == SSL_ACCEPTED
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is self-signed
        client.socket = context.wrap_socket(client.socket)
    return client


def _settled_bytes(process: psutil.Process) -> int:
    """Return its resident memory once that has not changed for a while."""
    last, calm = 0, 0

    def settled() -> bool:
        nonlocal last, calm
        now = process.memory_info().rss
        calm = calm + 1 if now == last else 0
        last = now
        return calm >= _CALM_LOOKS

    with contextlib.suppress(ServerError):  # it never does: then as it is
        wait_until(settled, "the memory to settle", _SETTLE_SECONDS)
    return last
