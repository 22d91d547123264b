"""A pool of connections whose driver numbers its statements: each prepares the same ones, in an order of its own.

So do psycopg (`_pg3_0`), asyncpg and JDBC: the same statement has other names in other connections. All connections are
driven from one loop, each asks again as soon as it is answered, and every answer is compared with what is right.
"""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import cast

import uvloop

from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import Bind, Execute, Parse, Sync
from services.shared.pgwire.startup import VERSION_3_0, StartupMessage
from services.shared.runtime.upstream import parse_upstream

_KEYS = 5
_MOST_STATEMENTS = 1_000  # of which each key has values of its own
_READY = READY_FOR_QUERY[TransactionStatus.IDLE]
_SYNC = Sync().encode()
_EXECUTE = Execute(b"", 0).encode()
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Pool:
    """What connects, and what it does.

    Attributes:
        connections: How many.
        statements: How many different ones each prepares.
        in_one_order: All prepare them in the same order, so that names mean the same everywhere.
        seconds: How long they read, behind a time in which each reads a few times for each statement.
    """

    connections: int
    statements: int
    in_one_order: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Reads:
    """What came of it: reads a second, and how many answers were wrong."""

    rate: float
    wrong: int


def setup_statements(statements: int) -> list[str]:
    """Return SQL that makes the table."""
    columns = ", ".join(f"v{number} int NOT NULL" for number in range(statements))
    values = ", ".join(f"id * {_MOST_STATEMENTS} + {number}" for number in range(statements))
    return [
        f"CREATE TABLE numbered (id int PRIMARY KEY, {columns})",
        f"INSERT INTO numbered SELECT id, {values} FROM generate_series(1, {_KEYS}) id",
    ]


def read(url: str, pool: Pool) -> Reads:
    """Have a pool read for some seconds.

    Raises:
        TimeoutError: No answer came for long.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_read(url, pool))


async def _read(url: str, pool: Pool) -> Reads:
    upstream, loop = parse_upstream(url), asyncio.get_running_loop()
    clients = [_Client(upstream.user, upstream.database, pool, number) for number in range(pool.connections)]
    try:
        for client in clients:  # one by one, as a pool opens them
            await loop.create_connection(client.itself, upstream.host, upstream.port)
            await asyncio.wait_for(client.prepared, _PATIENCE_SECONDS)
        return await _rate(clients, pool)
    finally:
        for client in clients:
            client.close()


async def _rate(clients: "list[_Client]", pool: Pool) -> Reads:
    for client in clients:
        client.begin()
    lead_in = 3 * pool.statements * pool.connections
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while sum(client.answered for client in clients) < lead_in:
        if time.monotonic() > deadline:
            raise TimeoutError("the pool is not answered")
        await asyncio.sleep(0.01)
    before, began = sum(client.answered for client in clients), time.perf_counter()
    await asyncio.sleep(pool.seconds)
    count, took = sum(client.answered for client in clients) - before, time.perf_counter() - began
    return Reads(count / took, sum(client.wrong for client in clients))


def _turn(name: bytes, key: int) -> bytes:
    return Bind(b"", name, (), (b"%d" % key,), ()).encode() + _EXECUTE + _SYNC


def _field(value: int) -> bytes:
    """Return a value as it stands in a row."""
    text = b"%d" % value
    return len(text).to_bytes(4, "big") + text


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, user: str, database: str, pool: Pool, number: int) -> None:
        self.prepared: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = self.wrong = 0
        self._startup = StartupMessage(VERSION_3_0, (("user", user), ("database", database))).encode()
        self._chance = random.Random(number)
        order = list(range(pool.statements))
        if not pool.in_one_order:
            self._chance.shuffle(order)
        named = [(b"_s%d" % place, column) for place, column in enumerate(order)]
        self._parses = [
            Parse(name, b"SELECT v%d FROM numbered WHERE id = $1" % column).encode() + _SYNC for name, column in named
        ]
        self._reads = [
            (_turn(name, key), _field(key * _MOST_STATEMENTS + column))
            for name, column in named
            for key in range(1, _KEYS + 1)
        ]
        self._buffer, self._awaited = b"", b""
        self._transport: asyncio.WriteTransport | None = None

    def itself(self) -> "_Client":
        """Return this, for who makes a connection's protocol."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in. Called by the loop."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass
        self._transport.write(self._startup)

    def data_received(self, data: bytes) -> None:
        """Go on when an answer is complete. Called by the loop."""
        self._buffer += data
        if not self._buffer.endswith(_READY):
            return
        answer, self._buffer = self._buffer, b""
        if self._awaited:
            self.answered += 1
            self.wrong += self._awaited not in answer
            self.begin()
        elif self._parses:
            self._write(self._parses.pop(0))
        elif not self.prepared.done():
            self.prepared.set_result(None)

    def begin(self) -> None:
        """Ask for something."""
        turn, self._awaited = self._chance.choice(self._reads)
        self._write(turn)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)
