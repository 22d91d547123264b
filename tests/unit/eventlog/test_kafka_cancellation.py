"""The Kafka client cancels requests of its own and lets that out: nobody asked our task to end."""

import asyncio

import pytest

from services.shared.eventlog.kafka_errors import translated
from services.shared.eventlog.log import LogUnavailable


async def _leaks() -> None:
    abandoned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    abandoned.cancel()
    await abandoned


async def _translated(seconds: float, work: "asyncio.Future[None] | None" = None) -> None:
    async with translated(seconds):
        await (_leaks() if work is None else work)


def test_a_cancellation_of_its_own_is_a_log_that_does_not_answer() -> None:
    with pytest.raises(LogUnavailable, match="gave up a request of its own"):
        asyncio.run(_translated(5))


def test_ours_goes_through() -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(_translated(5, asyncio.get_running_loop().create_future()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_so_does_a_time_out() -> None:
    async def late() -> None:
        await _translated(0.01, asyncio.get_running_loop().create_future())

    with pytest.raises(LogUnavailable, match="no answer within"):
        asyncio.run(late())
