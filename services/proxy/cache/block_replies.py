"""The ready-made replies that rest on no entry: to a BEGIN that is held back, and to its end. Pure.

Entries take theirs along when they die; these last, so they are bounded by number.
"""

from collections import deque

from services.proxy.cache.entry import Reply

_MOST = 4_096  # some 500 bytes each; a session state and a meaning of statement names has a handful


class BlockReplies:
    """The replies of one cache in one worker, in whatever table they stand."""

    def __init__(self) -> None:
        self._remembered: deque[tuple[dict[bytes, Reply], bytes]] = deque()

    def __len__(self) -> int:
        return len(self._remembered)

    def remember(self, context: dict[bytes, Reply], turn: bytes, reply: Reply) -> None:
        """Put a reply into a table, and take the oldest out of its own when there are too many."""
        if turn in context:
            return
        if len(self._remembered) >= _MOST:
            oldest_context, oldest_turn = self._remembered.popleft()
            oldest_context.pop(oldest_turn, None)
        context[turn] = reply
        self._remembered.append((context, turn))
