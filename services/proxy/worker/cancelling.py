"""Cancel requests: to Postgres, and to the session that they mean where its query waits in the proxy.

A request comes on a connection of its own, which the kernel may give to any worker, and a load balancer to any machine.
Postgres finds the session by the process id that it gave out itself. But a query that waits in the proxy, for another
session's answer or for Redis, is unknown to Postgres; only the worker that has the session can give it up. So a request
that means no session here is told to all workers of the cache, by its digest, over a channel of Redis. When Redis
cannot be reached, such a query is not cancelled; it waits no longer than the query that it has joined.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from services.proxy.upstream.cancel import relay_cancel
from services.proxy.upstream.dialler import Dialler
from services.proxy.worker.open_sessions import OpenSessions
from services.shared.keyspace.keys import Keys
from services.shared.pgwire.startup import CancelRequest
from services.shared.runtime.backoff import Backoff

_PUBLISH_SECONDS = 0.25  # the client of a cancel request waits for it
_QUIET_SECONDS = 15.0  # without a message for so long, the connection is asked whether it is still there

_log = structlog.get_logger()


class Cancelling:
    """What one worker does with cancel requests for one cache.

    Attributes:
        tell_others: Tells all workers the digest of a request that means no session here.
    """

    def __init__(self, sessions: OpenSessions, dialler: Dialler) -> None:
        """Prepare.

        Args:
            sessions: The worker's sessions.
            dialler: Opens connections to Postgres.
        """
        self._sessions = sessions
        self._dialler = dialler
        self.tell_others: Callable[[bytes], Awaitable[None]] | None = None

    async def request(self, packet: CancelRequest) -> None:
        """Serve one request. Returns when Postgres has signalled, as Postgres itself closes the connection then.

        A session that could give up its query itself leaves nothing for Postgres to do: the client may send its next
        query at once, and that must not be cancelled in its place. For the same reason other workers are told last.
        """
        digest = self._sessions.digest(packet.backend_key)
        session = self._sessions.meant_by(digest)
        if session is not None and session.interrupt():
            return
        try:
            await relay_cancel(self._dialler, packet.encode())
        except OSError as error:
            _log.warning("a cancel request could not be passed on", error=repr(error))
        if session is None and self.tell_others is not None:
            await self.tell_others(digest)


class CancelChannel:
    """The channel of Redis on which the workers of a cache tell each other of cancel requests."""

    def __init__(self, client: "redis.asyncio.Redis", cache: str, sessions: OpenSessions) -> None:
        """Prepare.

        Args:
            client: Redis; it stays the caller's to close.
            cache: Name of the cache.
            sessions: The worker's sessions.
        """
        self._client: Any = client  # its commands are not typed
        self._channel = Keys(cache).cancel_channel
        self._sessions = sessions

    async def tell(self, digest: bytes) -> None:
        """Tell all workers of a request; in vain when Redis is away."""
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await self._client.publish(self._channel, digest)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            _log.debug("other workers were not told of a cancel request", error=repr(error))

    async def listen(self) -> None:
        """Hear of the requests that came to other workers. Cancel-safe: yes."""
        backoff = Backoff(first=0.1, most=5.0)
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(self._channel)
                    await self._hear(channel, backoff)
            except (RedisError, OSError) as error:
                _log.debug("the channel of cancel requests was lost", error=repr(error))
            await backoff.wait()

    async def _hear(self, channel: Any, backoff: Backoff) -> None:
        asked = False
        while True:
            message = await channel.get_message(timeout=_QUIET_SECONDS)
            if message is None:
                if asked:
                    raise TimeoutError("no answer to a ping")
                await channel.ping()
                asked = True
                continue
            asked = False
            backoff.reset()
            if message["type"] == "message":
                session = self._sessions.meant_by(bytes(message["data"]))
                if session is not None:
                    session.interrupt()
