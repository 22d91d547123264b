"""A visitor of the shop: a program that reads page after page over one connection, at the pace of a busy shop.

Run as `python -m demo.reader`. It reads a `ReaderOrder` as one line of JSON and prints a `ReaderResult` as JSON. Each
visitor is a process of its own: several in one would wait for each other, and that wait would count as latency. For the
same reason they leave the processor some air: what is measured is an answer, not a queue.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import cycle

import asyncpg
import uvloop

from demo.audit import Read, digest_of
from demo.queries import BY_NAME, Instance, audited_instances, read_mix
from demo.shop import ShopSize

_MIX_LENGTH = 50_000  # pages; begun again when all are read


@dataclass(frozen=True, slots=True)
class ReaderOrder:
    """What a visitor is told.

    Attributes:
        url: Where to read: Postgres, or Tidegate.
        size: The size of the shop.
        warm_up_seconds: How long to read before anything is noted.
        seconds: How long to read after that.
        reads_per_second: The pace; one who is late catches up.
        seed: Another seed, another visitor.
    """

    url: str
    size: dict[str, int]
    warm_up_seconds: float
    seconds: float
    reads_per_second: float
    seed: int


@dataclass(frozen=True, slots=True)
class ReaderResult:
    """What a visitor saw.

    Attributes:
        microseconds: The latency of every read, by query.
        audited: The reads of audited pages, the warm-up's too.
    """

    microseconds: dict[str, list[int]]
    audited: list[Read]


class Visitor:
    """One connection and its walk through the shop."""

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
        mix = read_mix(self._size, _MIX_LENGTH, self._order.seed)
        connection = await asyncpg.connect(self._order.url, server_settings={"application_name": "demo-reader"})
        due = time.monotonic()
        try:
            for page in cycle(mix):
                if await self._read(connection, page, begin) >= end:
                    break
                due += 1 / self._order.reads_per_second
                if due > time.monotonic():
                    await asyncio.sleep(due - time.monotonic())
        finally:
            await connection.close()
        return ReaderResult(dict(self._latencies), self._reads)

    async def _read(self, connection: "asyncpg.Connection[asyncpg.Record]", page: Instance, begin: int) -> int:
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
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(Visitor(order).visit())
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()
