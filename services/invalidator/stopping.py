"""Loops that end when they are told to, even where a library did not pass it on.

Up to Python 3.11 `asyncio.wait_for` loses a cancellation that arrives together with what it waits for, and Redis's
client sends every command through it as soon as it has a socket time-out. What a task was asked can still be seen, if
it did not run an `asyncio.TaskGroup` that failed, which up to 3.11 leaves its own cancellation counted.
"""

import asyncio
from collections.abc import Coroutine


def leave_if_cancelled() -> None:
    """Raise `asyncio.CancelledError` if this task was asked to end and is still here."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


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
