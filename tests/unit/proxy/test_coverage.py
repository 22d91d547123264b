"""Waiting until a probe is covered: those who arrived before it was sent wait for the same one (contract, 9.7)."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from services.proxy.cache.coverage import Coverage
from services.proxy.cache.freshness import Freshness
from services.shared.lsn import Lsn


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class Worker:
    """A worker's clock, and how often a probe was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.freshness = Freshness(1.0, clock=lambda: 100.0)
        self.coverage = Coverage(self.freshness, self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def probe(self, lsn: int) -> None:
        self.freshness.answer(self.freshness.send(), Lsn(lsn))


@in_a_loop
async def test_all_who_arrived_before_it_was_sent_wait_for_one_probe() -> None:
    worker = Worker()
    numbers = [worker.coverage.ask() for _ in range(3)]
    waiting = [asyncio.ensure_future(worker.coverage.reach(number, 5)) for number in numbers]
    await asyncio.sleep(0)
    worker.probe(8)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    worker.freshness.advance(Lsn(9))
    assert await asyncio.gather(*waiting) == [True] * 3
    assert (len(set(numbers)), worker.asked) == (1, 3)


@in_a_loop
async def test_who_arrives_while_a_probe_is_under_way_waits_for_the_next() -> None:
    """Its answer may be from before the arrival."""
    worker = Worker()
    under_way = worker.freshness.send()
    number = worker.coverage.ask()
    worker.freshness.answer(under_way, Lsn(8))
    worker.freshness.advance(Lsn(9))
    assert not await worker.coverage.reach(number, 0.01)
    worker.probe(8)
    assert await worker.coverage.reach(number, 0.01)


@in_a_loop
async def test_who_gives_up_leaves_nothing_behind() -> None:
    worker = Worker()
    gone = asyncio.ensure_future(worker.coverage.reach(worker.coverage.ask(), 5))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert not await worker.coverage.reach(worker.coverage.ask(), 0.01)
    worker.probe(8)
    worker.freshness.advance(Lsn(9))
    assert worker.coverage.waiting == 0


@in_a_loop
async def test_probes_from_before_a_drop_prove_nothing() -> None:
    worker = Worker()
    number = worker.coverage.ask()
    probe = worker.freshness.send()
    worker.freshness.drop()
    worker.freshness.answer(probe, Lsn(8))
    worker.freshness.advance(Lsn(9))
    assert not await worker.coverage.reach(number, 0.01)
