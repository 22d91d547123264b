"""Waiting until a probe is covered: what `strong` reads do. Consistency contract, sections 1 and 9.7.

A strong read needs a proof from after its arrival. It asks for a probe and waits until the watermark has passed what
that probe showed; all reads that arrived before the probe was sent wait for the same one.
"""

import asyncio
from collections.abc import Callable

from services.proxy.cache.freshness import Freshness


class Coverage:
    """Who waits for which probe; one per worker and cache."""

    def __init__(self, freshness: Freshness, ask: Callable[[], None]) -> None:
        """Listen to what becomes covered.

        Args:
            freshness: The worker's clock.
            ask: Has a probe sent at once.
        """
        self._freshness = freshness
        self._ask = ask
        self._waiting: dict[asyncio.Future[None], int] = {}  # with what each waits for
        freshness.on_covered = self._covered

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ask(self) -> int:
        """Have a probe sent, and return a number that it will not be below: what has to be covered."""
        number = self._freshness.next_number
        self._ask()
        return number

    async def reach(self, number: int, seconds: float) -> bool:
        """Wait until a probe with this number or a later one is covered; tell whether that came in time.

        Cancel-safe: yes.
        """
        if self._freshness.covered >= number:
            return True
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = number
        try:
            async with asyncio.timeout(seconds):
                await waiting
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(waiting, None)
        return True

    def _covered(self, number: int) -> None:
        for waiting in [waiting for waiting, wanted in self._waiting.items() if wanted <= number]:
            del self._waiting[waiting]
            if not waiting.done():
                waiting.set_result(None)
