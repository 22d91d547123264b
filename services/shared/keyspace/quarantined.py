"""Quarantined templates in Redis: a hash beside the bucket, by which the workers of a cache tell each other.

It holds texts of templates, which have no literals. All that it decides is what is served less.
"""

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from services.shared.keyspace.keys import Keys
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.redis_errors import describe

_ID_BYTES = 6


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A template that is held back, or was.

    Attributes:
        template: Its text.
        since: When it was found, or released, by the clock of whoever wrote it: for people.
        released: It is cached again.
    """

    template: str
    since: str
    released: bool = False

    @classmethod
    def now(cls, template: str) -> "Quarantined":
        """Return a template that is quarantined now."""
        return cls(template, datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def id(self) -> str:
        """A short name for it: a digest of its text."""
        return blake2b(self.template.encode(), digest_size=_ID_BYTES).hexdigest()

    def release(self) -> "Quarantined":
        """Return it as released now."""
        return replace(Quarantined.now(self.template), released=True)


class QuarantineList:
    """The list of one cache. Methods raise `BucketUnavailable`. Cancel-safe: yes."""

    def __init__(self, client: "redis.asyncio.Redis", cache: str, timeout: float) -> None:
        """Wrap a client, which stays the caller's to close.

        Args:
            client: It must not decode replies.
            cache: Name of the cache.
            timeout: Seconds that Redis may take.
        """
        self._client: Any = client  # its commands are not typed
        self._key = Keys(cache).quarantine
        self._timeout = timeout

    async def put(self, one: Quarantined) -> None:
        """Write one, in the place of what is said of it."""
        await self._command("HSET", self._key, one.id, json.dumps(asdict(one)))

    async def restore(self, one: Quarantined) -> None:
        """Write one that is not there, unless somebody has something to say of it by now."""
        await self._command("HSETNX", self._key, one.id, json.dumps(asdict(one)))

    async def all(self) -> list[Quarantined]:
        """Return what is held back, and what was released; what cannot be read is left out."""
        reply: dict[bytes, bytes] = await self._command("HGETALL", self._key)
        found = [_read(value) for value in reply.values()]
        return [one for one in found if one is not None]

    async def _command(self, *arguments: str) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._client.execute_command(*arguments)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise BucketUnavailable(f"quarantine in Redis: {type(error).__name__}: {describe(error)}") from error


def _read(value: bytes) -> Quarantined | None:
    try:
        fields = json.loads(value)
        return Quarantined(str(fields["template"]), str(fields["since"]), bool(fields["released"]))
    except (ValueError, LookupError, TypeError):
        return None
