"""What one round trip to Redis costs in this run: a bare GET of a key that is not there, through redis-py and hiredis.

On uvloop, as Tidegate has it, but with nothing else in the process, so that it is the least that a look-up can cost.
"""

import asyncio
import time

import uvloop
from redis.asyncio import Redis
from redis.asyncio.client import Redis as RedisClient

_KEY = "benchmark:absent"


def get_milliseconds(url: str, clients: int, calls: int) -> float:
    """Return how long a GET takes in the mean.

    Args:
        url: The Redis.
        clients: How many ask at once, each on a connection of its own.
        calls: Of each of them.
    """
    return uvloop.run(_measure(url, clients, calls))


async def _measure(url: str, clients: int, calls: int) -> float:
    connections = [Redis.from_url(url, single_connection_client=True) for _ in range(clients)]
    try:
        for connection in connections:
            await connection.get(_KEY)
        began = time.perf_counter()
        await asyncio.gather(*(_ask(connection, calls) for connection in connections))
        return (time.perf_counter() - began) * 1000 / calls
    finally:
        for connection in connections:
            await connection.aclose()


async def _ask(connection: RedisClient, calls: int) -> None:
    for _ in range(calls):
        await connection.get(_KEY)
