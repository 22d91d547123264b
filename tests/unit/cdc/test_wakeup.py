"""Waiting for whatever comes first."""

import asyncio

from services.cdc.wakeup import Wakeup

LONG = 60.0


def test_a_wake_up_ends_the_wait() -> None:
    async def scene() -> None:
        wakeup = Wakeup()
        asyncio.get_running_loop().call_soon(wakeup.wake)
        async with asyncio.timeout(5):
            await wakeup.wait(LONG)

    asyncio.run(scene())


def test_a_wake_up_before_the_wait_is_not_lost_and_counts_once() -> None:
    async def scene() -> None:
        wakeup = Wakeup()
        wakeup.wake()
        wakeup.wake()
        async with asyncio.timeout(5):
            await wakeup.wait(LONG)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await wakeup.wait(0.01)
        assert loop.time() - started >= 0.009

    asyncio.run(scene())


def test_even_without_a_wait_others_have_their_turn() -> None:
    async def scene() -> None:
        ran: list[int] = []
        asyncio.get_running_loop().call_soon(ran.append, 1)
        await Wakeup().wait(-1.0)
        assert ran == [1]

    asyncio.run(scene())
