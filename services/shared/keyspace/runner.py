"""Runs scripts in Redis: by their digest, several at once, loading them when Redis does not know them."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import redis.asyncio
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError

from services.shared.keyspace.script_sources import load_script
from services.shared.redis_errors import describe

Argument = str | bytes | int
Call = tuple[str, tuple[Argument, ...]]
"""A script's name and its arguments."""

_Result = TypeVar("_Result")


class BucketUnavailable(Exception):
    """Redis cannot be reached, refuses, or holds what the scripts did not write. Reads are forwarded meanwhile."""


class BucketOutOfMemory(BucketUnavailable):
    """Redis has no memory left for a script that needs some."""


class ScriptRunner:
    """Runs the scripts of one bucket. Methods raise `BucketUnavailable`."""

    def __init__(
        self, client: "redis.asyncio.Redis", meta_key: str, names: Sequence[str], timeout: float | None
    ) -> None:
        self._client: Any = client  # its commands are not typed
        self._meta_key = meta_key
        self._timeout = timeout
        self._scripts = {name: load_script(name) for name in names}

    async def load(self) -> None:
        """Load every script into Redis."""
        for script in self._scripts.values():
            await self.command("SCRIPT LOAD", script.source)

    async def command(self, *arguments: Argument) -> Any:
        """Run a command that is no script."""
        return await self._translated(self._client.execute_command(*arguments))

    async def command_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Run commands that are no scripts in order, sent together, and return their replies."""
        pipeline = self._client.pipeline(transaction=False)
        for arguments in commands:
            pipeline.execute_command(*arguments)
        return list(await self._translated(pipeline.execute()))

    async def run(self, name: str, *arguments: Argument) -> Any:
        """Run one script and return its reply."""
        return (await self.run_all([(name, arguments)]))[0]

    async def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts in order, sent together, and return their replies.

        When Redis has forgotten the scripts, all are sent again; those that did run the first time run twice, for which
        every one of them allows.
        """
        replies = await self.run_each(calls)
        for reply in replies:
            if isinstance(reply, BucketOutOfMemory):
                raise reply
        return replies

    async def run_each(self, calls: Sequence[Call]) -> list[Any]:
        """Run scripts as `run_all` does; in the place of a reply that failed for want of memory stands the error."""
        replies = await self._translated(self._send(calls))
        if any(isinstance(reply, NoScriptError) for reply in replies):
            await self.load()
            replies = await self._translated(self._send(calls))
        for index, reply in enumerate(replies):
            if isinstance(reply, OutOfMemoryError):
                replies[index] = BucketOutOfMemory(_describe(reply))
            elif isinstance(reply, Exception):
                raise BucketUnavailable(_describe(reply)) from reply
        return replies

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) > 1:
            pipeline = self._client.pipeline(transaction=False)
            for name, arguments in calls:
                pipeline.execute_command(*self._evalsha(name, arguments))
            return list(await pipeline.execute(raise_on_error=False))
        try:
            return [await self._client.execute_command(*self._evalsha(*calls[0]))] if calls else []
        except (NoScriptError, OutOfMemoryError) as refusal:
            return [refusal]

    def _evalsha(self, name: str, arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        return "EVALSHA", self._scripts[name].sha, 1, self._meta_key, *arguments

    async def _translated(self, waiting: Awaitable[_Result]) -> _Result:
        """Wait no longer than the time-out, and turn the client's errors into ours."""
        try:
            async with asyncio.timeout(self._timeout):
                return await waiting
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise BucketUnavailable(_describe(error)) from error


def _describe(error: Exception) -> str:
    return f"bucket in Redis: {type(error).__name__}: {describe(error)}"
