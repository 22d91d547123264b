"""Every form of a Redis URL reaches the server."""

import asyncio

import pytest

from services.shared.redis_client import connect
from tests.servers.redis import RedisServer


@pytest.mark.parametrize("unix", [False, True])
def test_a_server_is_reached_by_its_url(redis_server: RedisServer, unix: bool) -> None:
    async def ping() -> bool:
        client = connect(redis_server.unix_url if unix else redis_server.url, 1.0, 1.0)
        try:
            answered: bool = await client.ping()
        finally:
            await client.aclose()
        return answered

    assert asyncio.run(ping())
