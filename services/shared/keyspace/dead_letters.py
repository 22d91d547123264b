"""Dead letters: what is kept, for people, of log records that nobody could read. `schemas/README.md` says what happens.

A short stream beside the bucket. Nothing is decided by it, so it may be lost or lack something. It holds nothing of a
record itself, which may be an application's data: the log has that, under partition and place, until retention.

The ids of its entries are Redis's own, by its own clock, which also says what the last day is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from services.shared.keyspace.dead_letter import KEPT_LETTERS, DeadLetter
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.replies import streams_of
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.redis_errors import describe

BEGINNING = "0-0"
"""The id that stands before all letters."""

_DAY_MS = 24 * 60 * 60 * 1000
_LEAST_WAIT_MS = 1  # XREAD takes 0 for "for ever"


class DeadLetters:
    """The dead letters of one cache. Methods raise `BucketUnavailable`. Cancel-safe: yes."""

    def __init__(self, client: "redis.asyncio.Redis", cache: str, timeout: float) -> None:
        """Wrap a client, which stays the caller's to close.

        Args:
            client: It must not decode replies.
            cache: Name of the cache.
            timeout: Seconds that Redis may take.
        """
        self._client: Any = client  # its commands are not typed
        self._key = Keys(cache).dead_letters
        self._timeout = timeout

    async def keep(self, letter: DeadLetter) -> None:
        """Add a letter, and let the oldest go if there are too many."""
        fields = (
            *("when", letter.when.isoformat(timespec="milliseconds")),
            *("partition", letter.partition, "place", letter.place),
            *("length", letter.length, "sha256", letter.sha256, "error", letter.error),
        )
        await self._command(0.0, "XADD", self._key, "MAXLEN", KEPT_LETTERS, "*", *fields)

    async def last_day(self) -> list[DeadLetter]:
        """Return the letters of the last 24 hours, oldest first, one for each record, however many found it."""
        seconds, _ = await self._command(0.0, "TIME")
        reply = await self._command(0.0, "XRANGE", self._key, max(0, int(seconds) * 1000 - _DAY_MS), "+")
        return list({letter.record: letter for _, letter in _entries(reply)}.values())

    async def end(self) -> str:
        """Return the id of the newest letter; `BEGINNING` if there is none."""
        newest = _entries(await self._command(0.0, "XREVRANGE", self._key, "+", "-", "COUNT", 1))
        return newest[0][0] if newest else BEGINNING

    async def read(self, after: str, wait_seconds: float) -> list[tuple[str, DeadLetter]]:
        """Return the letters that follow an id, each with its own; empty when none came in time."""
        wait_ms = max(_LEAST_WAIT_MS, int(wait_seconds * 1000))
        reply = await self._command(wait_seconds, "XREAD", "BLOCK", wait_ms, "STREAMS", self._key, after)
        return [entry for _, entries in streams_of(reply) for entry in _entries(entries)]

    async def _command(self, wait_seconds: float, *arguments: str | int) -> Any:
        try:
            async with asyncio.timeout(wait_seconds + self._timeout):
                return await self._client.execute_command(*arguments)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise BucketUnavailable(f"dead letters in Redis: {type(error).__name__}: {describe(error)}") from error


def _entries(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> list[tuple[str, DeadLetter]]:
    try:
        return [(entry_id.decode(), _letter(fields)) for entry_id, fields in entries]
    except (ValueError, LookupError) as error:
        raise BucketUnavailable(f"the dead letters hold what the invalidator did not write: {error}") from error


def _letter(fields: Mapping[bytes, bytes]) -> DeadLetter:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    when = datetime.fromisoformat(text["when"]).astimezone(UTC)
    return DeadLetter(when, int(text["partition"]), text["place"], int(text["length"]), text["sha256"], text["error"])
