"""Every form of a Redis URL reaches the server."""

import asyncio
from typing import Any

import pytest
import redis.asyncio
import uvloop
from redis.exceptions import ConnectionError as LostConnection

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


def test_a_connection_that_was_reset_just_now_is_a_lost_one(valkey: RedisServer) -> None:
    """With uvloop, as in the services, whose error for it is not one of redis-py's."""

    async def write() -> None:
        client = connect(valkey.url, _PREFIX, 1.0, 1.0)
        try:
            pool: Any = client.connection_pool  # not typed
            connection = await pool.get_connection()
            connection.cut()
            with pytest.raises(LostConnection):
                await connection.send_command("PING")
            await pool.release(connection)
            assert await client.ping()
        finally:
            await client.aclose()

    uvloop.run(write())
