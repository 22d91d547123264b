"""Cancelling for certain."""

import asyncio

import pytest

from services.shared.runtime.cancellation import cancel_until_done, raise_if_cancelled


def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    async def forgetful() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    async def play() -> None:
        task = asyncio.create_task(forgetful())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await cancel_until_done([task])
        assert task.cancelled()

    asyncio.run(play())


def test_a_lost_cancellation_can_still_be_obeyed() -> None:
    async def forgetful() -> None:
        raise_if_cancelled()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise_if_cancelled()

    async def play() -> None:
        task = asyncio.create_task(forgetful())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())
