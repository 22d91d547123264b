"""Running several things until the first one ends."""

import asyncio
from collections.abc import Coroutine


async def until_one_fails(*work: Coroutine[None, None, None]) -> None:
    """Run coroutines until the first one ends or fails, and end the others.

    Raises:
        Exception: That of the first one.
    """
    tasks = [asyncio.create_task(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
