"""How every part connects to Redis or Valkey."""

from enum import StrEnum
from typing import Any

import hiredis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


class _PackedByHiredis:
    """Makes a connection of redis-py write commands with hiredis, which takes a fifteenth of the time.

    redis-py reads replies with hiredis, but packs what its asyncio connections send in Python: a quarter of what the
    invalidator did.
    """

    def pack_command(self, *arguments: Any) -> list[bytes]:
        """Write one command; a name of several words, such as SCRIPT LOAD, is as many arguments."""
        name = arguments[0]
        words = name.split() if isinstance(name, str) else (name,)
        return [hiredis.pack_command((*words, *arguments[1:]))]


class Part(StrEnum):
    """Who a connection belongs to, where others are to see that."""

    CDC = "cdc"
    INVALIDATOR = "invalidator"
    PROXY = "proxy"


def client_name(prefix: str, part: Part) -> str:
    """Return what CLIENT LIST calls the connections of a part.

    Args:
        prefix: What the cache's keys begin with.
        part: The part.
    """
    return f"{prefix}{part}"


def connect(
    redis_url: str, connect_timeout: float, reply_timeout: float | None, name: str | None = None
) -> "redis.asyncio.Redis":
    """Make a client that repeats nothing by itself, since whoever sent a command decides whether it may run twice.

    Args:
        redis_url: Where Redis is; it may hold a password.
        connect_timeout: Seconds that connecting may take.
        reply_timeout: Seconds that one reply may take; None for a client that blocks, or whose caller has a time-out.
        name: What its connections are called; see `client_name`.
    """
    over_tcp = {} if redis_url.startswith("unix:") else {"socket_keepalive": True}
    pool = redis.asyncio.ConnectionPool.from_url(
        redis_url,
        protocol=2,  # one form of replies, whatever the client's default is
        socket_timeout=reply_timeout,
        socket_connect_timeout=connect_timeout,
        client_name=name,
        retry=Retry(NoBackoff(), 0),
        **over_tcp,
    )
    kind: type[Any] = pool.connection_class  # by the URL's scheme
    pool.connection_class = type(kind.__name__, (_PackedByHiredis, kind), {})
    return redis.asyncio.Redis.from_pool(pool)
