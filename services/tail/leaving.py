"""Loops that end when they are told to, even where Redis's client did not pass it on.

Up to Python 3.11 `asyncio.wait_for` loses a cancellation that arrives together with what it waits for.
"""

import asyncio


def leave_if_cancelled() -> None:
    """Raise `asyncio.CancelledError` if this task was asked to end and is still here."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
