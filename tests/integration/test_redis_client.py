"""Every form of a Redis URL reaches the server."""

import asyncio

import pytest
import redis.asyncio

from services.shared.redis_client import connect
from tests.servers.redis import RedisServer

_PREFIX = "tidegate:{shop}:"


@pytest.mark.parametrize(
    "command", [("SCRIPT LOAD", "return 1"), ("SET", "kéy", b"\x00\r\n", "PX", 5), ("EVALSHA", "ab", 1, "m", "", 0.5)]
)
def test_commands_are_written_as_redis_py_writes_them(command: tuple[str | bytes | int | float, ...]) -> None:
    pool = connect("redis://127.0.0.1:1/0", _PREFIX, 1.0, 1.0).connection_pool
    ours = pool.make_connection()  # type: ignore[no-untyped-call]
    theirs = redis.asyncio.Connection()
    assert b"".join(ours.pack_command(*command)) == b"".join(theirs.pack_command(*command))


@pytest.mark.parametrize("unix", [False, True])
def test_a_server_is_reached_by_its_url(redis_server: RedisServer, unix: bool) -> None:
    async def ping() -> bool:
        client = connect(redis_server.unix_url if unix else redis_server.url, _PREFIX, 1.0, 1.0)
        try:
            answered: bool = await client.ping()
        finally:
            await client.aclose()
        return answered

    assert asyncio.run(ping())
