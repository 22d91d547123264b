"""Waiting for something that may not come."""

import asyncio


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but no longer than that; None: for as long as it takes. Cancel-safe: yes."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
