"""How every part connects to Redis or Valkey."""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect(redis_url: str, connect_timeout: float, reply_timeout: float | None) -> "redis.asyncio.Redis":
    """Make a client that repeats nothing by itself, since whoever sent a command decides whether it may run twice.

    Args:
        redis_url: Where Redis is; it may hold a password.
        connect_timeout: Seconds that connecting may take.
        reply_timeout: Seconds that one reply may take; None for a client that blocks, or whose caller has a time-out.
    """
    over_tcp = {} if redis_url.startswith("unix:") else {"socket_keepalive": True}
    return redis.asyncio.Redis.from_url(
        redis_url,
        protocol=2,  # one form of replies, whatever the client's default is
        socket_timeout=reply_timeout,
        socket_connect_timeout=connect_timeout,
        retry=Retry(NoBackoff(), 0),
        **over_tcp,
    )
