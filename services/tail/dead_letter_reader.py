"""Reading along in the dead letters. What is wrong with Redis is told by the reader of the feed, and only there."""

from collections.abc import Callable

from services.shared.keyspace.dead_letters import BEGINNING, DeadLetters
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.redis_client import connect
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.cancellation import raise_if_cancelled
from services.shared.runtime.settings import CacheSettings
from services.tail.line import Line
from services.tail.story import Story

READ_SECONDS = 0.5
"""How long one read waits for a letter: one may come from an invalidator before, or without, our own reading of it."""

REDIS_SECONDS = 5.0
"""How long Redis may take for anything else."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 1.0


class DeadLetterFollower:
    """Reads a cache's dead letters, whatever becomes of them."""

    def __init__(
        self, cache: CacheSettings, story: Story, show: Callable[[list[Line]], None], *, from_beginning: bool
    ) -> None:
        self._cache = cache
        self._story = story
        self._show = show
        self._after = BEGINNING if from_beginning else ""

    async def run(self) -> None:
        """Read for ever.

        Cancel-safe: yes; nothing is consumed.
        """
        client = connect(self._cache.redis_url.get_secret_value(), self._cache.prefix, REDIS_SECONDS, None)
        letters = DeadLetters(client, self._cache.name, REDIS_SECONDS)
        backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)
        try:
            while True:
                raise_if_cancelled()
                try:
                    await self._read(letters)
                    backoff.reset()
                except BucketUnavailable:
                    await backoff.wait()
        finally:
            await client.aclose()

    async def _read(self, letters: DeadLetters) -> None:
        if not self._after:
            self._after = await letters.end()
        for entry_id, letter in await letters.read(self._after, READ_SECONDS):
            self._after = entry_id
            self._show(self._story.unreadable(letter))
