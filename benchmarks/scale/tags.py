"""How cost grows with the tags of an entry: an answer that rests on many rows or values, as `id IN (…)` does.

L1 in this process; the fill, the look-up and the eviction in a real Redis, by the real scripts.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.scale.clock import MICROSECONDS, seconds_of
from benchmarks.scale.curve import Curve, gathered
from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.l1 import L1
from services.shared.keyspace.scripts import Fill, StoredEntry
from services.shared.lsn import Lsn
from services.shared.position import START, Position
from tests.integration.bucket_driver import RELATION, BucketDriver, driven_bucket
from tests.servers.redis import RedisServer

_ENTRIES = 200
_LATE = 1e12  # boot-clock second at which nothing expires
_READ_AT = (Position(Lsn(1_000), 0),)
_BODY_BYTES = 100


def tags_curve(sizes: Sequence[int]) -> Curve:
    """Measure L1 and Redis."""
    return Curve(
        "tags",
        "Tags of an entry",
        "Answers that depend on so many tags each (all different). L1: processor time for one entry. Redis: median "
        "time of a script as its client sees it, one at a time; while one runs, Redis does nothing else.",
        "tags",
        sizes,
        gathered([_measure_l1(size) | asyncio.run(_measure_redis(size)) for size in sizes]),
    )


def _tags(entry: int, size: int) -> tuple[str, ...]:
    return tuple(f"{RELATION}:{entry * size + number:024x}" for number in range(size))


def _measure_l1(size: int) -> dict[str, float]:
    l1 = L1(1 << 40, (START,))
    answer = Answer(b"", bytes(_BODY_BYTES), b"")
    entries = [
        Entry(b"%d" % number, answer, _READ_AT, _tags(number, size), (RELATION,), (), _LATE)
        for number in range(_ENTRIES)
    ]
    inserted = seconds_of(lambda: [l1.insert(entry) for entry in entries]) / _ENTRIES
    evicted = seconds_of(
        lambda: [
            l1.evict(0, Position(Lsn(2_000), number), entry.tags[:1], (), _READ_AT)
            for number, entry in enumerate(entries)
        ]
    )
    return {
        "L1: insert, µs": inserted * MICROSECONDS,
        "L1: evict by one of them, µs": evicted / _ENTRIES * MICROSECONDS,
    }


async def _measure_redis(size: int) -> dict[str, float]:
    with RedisServer("valkey") as server:
        async with driven_bucket(server.url) as driver:
            await driver.bucket.load()
            await driver.begin_warm()
            before = int((await driver.client.info("memory"))["used_memory"])
            filled = await _median(lambda number: _fill(driver, number, size))
            grown = int((await driver.client.info("memory"))["used_memory"]) - before
            read = await _median(lambda number: driver.bucket.read(b"key %d" % number))
            evicted = await _median(lambda number: driver.evict(*_tags(number, size)))
    return {
        "Redis: fill, µs": filled * MICROSECONDS,
        "Redis: look-up, µs": read * MICROSECONDS,
        "Redis: evict all of them, µs": evicted * MICROSECONDS,
        "Redis: bytes of an entry": grown / _ENTRIES,
    }


async def _fill(driver: BucketDriver, number: int, size: int) -> None:
    q0 = (await driver.bucket.state()).positions
    entry = StoredEntry(q0, _tags(number, size), (RELATION,), (), bytes(_BODY_BYTES))
    (refusal,) = await driver.bucket.fill_all([Fill(driver.epoch, q0, b"key %d" % number, entry)])
    assert not refusal, f"the fill was refused: {refusal}"


async def _median(action: Callable[[int], Awaitable[object]]) -> float:
    """Return the median of the seconds that it takes: the mean would be that of other things on the machine."""
    seconds: list[float] = []
    for number in range(_ENTRIES):
        began = time.perf_counter()
        await action(number)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
