"""The queue between `append` and the log: order, limits, and a failure that is final."""

import asyncio

import pytest

from services.shared.eventlog.log import LogGap, LogUnavailable
from services.shared.eventlog.outbox import Outbox
from services.shared.lsn import Lsn
from services.shared.position import Position


def put(outbox: Outbox, k: int, size: int = 1) -> "asyncio.Future[None]":
    return outbox.put(0, Position(Lsn(8), k), b"", b"x" * size)


async def taken(outbox: Outbox, max_records: int = 100, max_bytes: int = 1000) -> list[int]:
    return [outgoing.position.k for outgoing in await outbox.take(max_records, max_bytes)]


def test_records_are_taken_in_order_and_within_the_limits() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        for k in range(5):
            put(outbox, k, size=400)
        assert await taken(outbox, max_records=1) == [0]
        outbox.settle()
        assert await taken(outbox) == [1, 2]
        outbox.settle()
        assert await taken(outbox) == [3, 4]

    asyncio.run(scenario())


def test_a_record_over_the_limit_goes_alone() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        put(outbox, 0, size=5000)
        put(outbox, 1)
        assert await taken(outbox) == [0]

    asyncio.run(scenario())


def test_taking_waits_for_a_record() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        waiting = asyncio.create_task(taken(outbox))
        await asyncio.sleep(0)
        assert not waiting.done()
        put(outbox, 0)
        assert await waiting == [0]

    asyncio.run(scenario())


def test_settling_acknowledges_what_was_taken_and_nothing_else() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        first, second = put(outbox, 0), put(outbox, 1)
        await outbox.take(1, 100)
        outbox.settle()
        assert first.done()
        assert not second.done()

    asyncio.run(scenario())


def test_a_failure_rejects_the_sent_the_waiting_and_the_later_with_the_first_reason() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        futures = [put(outbox, 0), put(outbox, 1)]
        await outbox.take(1, 100)
        outbox.fail(LogGap("it has vanished"))
        outbox.fail(LogUnavailable("it is away"))
        outbox.close()
        futures.append(put(outbox, 2))
        assert [str(future.exception()) for future in futures] == ["it has vanished"] * 3
        with pytest.raises(LogGap):
            await outbox.flush()

    asyncio.run(scenario())


def test_flush_waits_for_the_newest_even_while_it_is_under_way() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        await outbox.flush()
        put(outbox, 0)
        await outbox.take(1, 100)
        flushing = asyncio.create_task(outbox.flush())
        await asyncio.sleep(0)
        assert not flushing.done()
        outbox.settle()
        await flushing

    asyncio.run(scenario())


def test_a_cancelled_future_disturbs_nobody() -> None:
    async def scenario() -> None:
        outbox = Outbox()
        first, second = put(outbox, 0), put(outbox, 1)
        first.cancel()
        await outbox.take(10, 100)
        outbox.settle()
        assert second.done()
        put(outbox, 2).cancel()
        outbox.close()

    asyncio.run(scenario())
