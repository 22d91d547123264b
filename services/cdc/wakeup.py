"""Waiting for whatever comes first: bytes, an acknowledgement, or a time."""

import asyncio


class Wakeup:
    """One task waits; anybody may wake it. A wake-up that comes while nobody waits is not lost."""

    def __init__(self) -> None:
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Wake the waiting task, or the next one that waits."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout: float) -> None:
        """Return at a wake-up, or after `timeout` seconds; never without letting others run.

        Cancel-safe: yes; a wake-up that came meanwhile is kept.
        """
        if self._woken or timeout <= 0:
            await asyncio.sleep(0)  # others have their turn, whatever happens
        else:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout, self._expire, self._waiter)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        self._woken = False

    @staticmethod
    def _expire(waiter: "asyncio.Future[None]") -> None:
        if not waiter.done():
            waiter.set_result(None)
