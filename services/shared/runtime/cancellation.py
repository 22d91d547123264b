"""Cancelling for certain.

`asyncio.wait_for` of Python 3.11 loses a cancellation that arrives together with the result that it waits for, and
clients of databases use it. So a cancelled task may go on as if nothing had happened. It still counts that it was
asked: whoever owns the task asks again, and a task can look whether it was.
"""

import asyncio
from collections.abc import Iterable

_REPEAT_SECONDS = 0.2


async def cancel_until_done(tasks: Iterable["asyncio.Task[None]"]) -> None:
    """Cancel tasks, again and again, until all have ended. What they raise stays with them.

    Cancel-safe: yes; the tasks are cancelled once at least.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_REPEAT_SECONDS)


def raise_if_cancelled() -> None:
    """Obey a cancellation of the current task that something below has lost.

    Raises:
        asyncio.CancelledError: The task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
