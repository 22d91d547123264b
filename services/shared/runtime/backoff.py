"""How long to wait before the next attempt: exponential, bounded, and never in step with other processes."""

import asyncio
import random
from collections.abc import Callable


class Backoff:
    """The waits between attempts at one thing. `reset` after a success."""

    def __init__(
        self, first: float, most: float, factor: float = 2.0, fraction: Callable[[], float] = random.random
    ) -> None:
        """Prepare the waits.

        Args:
            first: The first wait in seconds, before jitter.
            most: The longest wait in seconds.
            factor: How much longer each wait is than the one before it.
            fraction: Gives a number in [0, 1): a wait lies between half of its length and all of it, so that
                processes that lost the same server do not come back to it at the same moment.

        Raises:
            ValueError: The waits would not grow from `first` to `most`.
        """
        if not (0 < first <= most and factor >= 1):
            raise ValueError(f"waits cannot grow from {first} to {most} by {factor}")
        self._first = first
        self._most = most
        self._factor = factor
        self._fraction = fraction
        self._length = first
        self.attempts = 0

    def next_delay(self) -> float:
        """Return the next wait in seconds, and count the attempt that failed."""
        length = self._length
        self._length = min(length * self._factor, self._most)
        self.attempts += 1
        return length * (0.5 + 0.5 * self._fraction())

    async def wait(self) -> None:
        """Sleep for the next wait. Cancel-safe: yes, because nothing is held meanwhile."""
        await asyncio.sleep(self.next_delay())

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._length = self._first
        self.attempts = 0
