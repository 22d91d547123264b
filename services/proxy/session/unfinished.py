"""A turn whose end does not come: it is carried out as far as it goes, since Postgres would not wait either.

What is sent together comes together, but for a moment, and only a whole turn can be answered from the cache.
"""

import asyncio
from collections.abc import Callable

_QUIET_SECONDS = 0.01  # after which the rest of a turn is not awaited


class Unfinished:
    """Waits for a moment for the rest of a session's turn."""

    __slots__ = ("_hurry", "_timer")

    def __init__(self, hurry: Callable[[], None]) -> None:
        """Wait for nothing yet; `hurry` is called when the moment has passed."""
        self._hurry = hurry
        self._timer: asyncio.TimerHandle | None = None

    @property
    def awaited(self) -> bool:
        """Whether the rest of a turn is awaited."""
        return self._timer is not None

    def watch(self, *, begun: bool) -> None:
        """Wait from now on, if a turn has begun to come; or not any more."""
        self.forget()
        if begun:
            self._timer = asyncio.get_running_loop().call_later(_QUIET_SECONDS, self._hurry)

    def forget(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
