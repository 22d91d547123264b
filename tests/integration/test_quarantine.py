"""What one worker quarantines the others hear of in Redis; a loss there releases nothing, a person does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio

from services.proxy.audit.quarantine import Quarantine
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.quarantined import Quarantined, QuarantineList
from tests.servers.redis import RedisServer

_TEMPLATE = "select name from users where id = $1"


def test_the_workers_of_a_cache_tell_each_other(redis_server: RedisServer) -> None:
    asyncio.run(_tell_each_other(redis_server.url))


async def _tell_each_other(url: str) -> None:
    async with _shared(url) as shared:
        dropped: list[str] = []
        one, other, later = Quarantine(lambda _: None), Quarantine(dropped.append), Quarantine(lambda _: None)
        found = one.add(_TEMPLATE)
        assert one.templates == {_TEMPLATE}
        await one.exchange(shared)
        await other.exchange(shared)
        assert other.templates == {_TEMPLATE}
        assert dropped == [_TEMPLATE]

        await shared._client.flushall()
        await other.exchange(shared)  # Redis has lost it: it is written again
        await later.exchange(shared)
        assert other.templates == later.templates == {_TEMPLATE}

        await shared.put(found.release())
        for worker in (one, other, later):
            await worker.exchange(shared)
            assert worker.templates == frozenset()
        assert dropped == [_TEMPLATE] * 2  # and what was under way when it was quarantined
        assert [(kept.template, kept.released) for kept in await shared.all()] == [(_TEMPLATE, True)]

        one.add(_TEMPLATE)  # and it is proven wrong again
        await one.exchange(shared)
        await other.exchange(shared)
        assert one.templates == other.templates == {_TEMPLATE}


def test_what_cannot_be_read_is_left_out(redis_server: RedisServer) -> None:
    asyncio.run(_leave_out(redis_server.url))


async def _leave_out(url: str) -> None:
    async with _shared(url) as shared:
        for number, text in enumerate((b"", b"[]", b'{"template": "x"}', b"\xff")):
            await shared._client.hset(Keys("default").quarantine, number, text)
        held = Quarantined.now(_TEMPLATE)
        await shared.put(held)
        assert await shared.all() == [held]


@asynccontextmanager
async def _shared(url: str) -> AsyncIterator[QuarantineList]:
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.flushall()
        yield QuarantineList(client, "default", 2.0)
