"""The shop's visitors: a program that reads pages over several connections, as fast as they are answered.

Run as `python -m demo.reader`. It reads a `ReaderOrder` as one line of JSON and prints a `ReaderResult` as JSON.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import cycle

import asyncpg

from demo.audit import Read, digest_of
from demo.queries import BY_NAME, Instance, audited_instances, read_mix
from demo.shop import ShopSize

_MIX_LENGTH = 50_000  # pages; begun again when all are read


@dataclass(frozen=True, slots=True)
class ReaderOrder:
    """What the visitors are told.

    Attributes:
        url: Where they read: Postgres, or Tidegate.
        size: The size of the shop.
        connections: How many read at once.
        warm_up_seconds: How long they read before anything is noted.
        seconds: How long they read after that.
        seed: Another seed, other visitors.
    """

    url: str
    size: dict[str, int]
    connections: int
    warm_up_seconds: float
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class ReaderResult:
    """What they saw.

    Attributes:
        microseconds: The latency of every read, by query.
        audited: The reads of audited pages, the warm-up's too.
    """

    microseconds: dict[str, list[int]]
    audited: list[Read]


class Visitors:
    """Several connections that share a walk through the shop."""

    def __init__(self, order: ReaderOrder) -> None:
        self._order = order
        self._size = ShopSize(**order.size)
        self._audited = {page: str(page) for page in audited_instances(self._size)}
        self._latencies: defaultdict[str, list[int]] = defaultdict(list)
        self._reads: list[Read] = []

    async def visit(self) -> ReaderResult:
        """Read for as long as the order says."""
        begin = time.monotonic_ns() + int(self._order.warm_up_seconds * 1e9)
        end = begin + int(self._order.seconds * 1e9)
        async with asyncio.TaskGroup() as group:
            for number in range(self._order.connections):
                group.create_task(self._read(self._order.seed * 100 + number, begin, end))
        return ReaderResult(dict(self._latencies), self._reads)

    async def _read(self, seed: int, begin: int, end: int) -> None:
        connection = await asyncpg.connect(self._order.url, server_settings={"application_name": "demo-reader"})
        try:
            for page in cycle(read_mix(self._size, _MIX_LENGTH, seed)):
                started = await self._read_page(connection, page, begin)
                if started >= end:
                    return
        finally:
            await connection.close()

    async def _read_page(self, connection: "asyncpg.Connection[asyncpg.Record]", page: Instance, begin: int) -> int:
        """Read one page and note what is to be noted. Returns when it was asked for."""
        query = BY_NAME[page.query]
        parameters = query.parameters(self._size, page.number)
        started = time.monotonic_ns()
        rows = await connection.fetch(query.sql, *parameters)
        ended = time.monotonic_ns()
        if started >= begin:
            self._latencies[page.query].append((ended - started) // 1000)
        name = self._audited.get(page)
        if name is not None:
            self._reads.append(Read(name, started, ended, digest_of(rows)))
        return started


def main() -> None:
    """Run the program."""
    order = ReaderOrder(**json.loads(sys.stdin.readline()))
    result = asyncio.run(Visitors(order).visit())
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()
