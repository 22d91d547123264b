"""What only a log on Redis Streams can suffer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from services.shared.eventlog.log import LogGap, LogUnavailable
from services.shared.eventlog.redis_streams import RedisStreamReader, RedisStreamWriter
from tests.integration.eventlog_backends import at, read_all, value, write
from tests.servers.redis import RedisServer

PREFIX = "tidegate:{main}:"
STREAM = f"{PREFIX}log:0"


@asynccontextmanager
async def opened(
    server: RedisServer, max_length: int = 1000
) -> AsyncIterator[tuple[RedisStreamWriter, RedisStreamReader, "redis.asyncio.Redis"]]:
    writer = RedisStreamWriter(server.url, PREFIX, 1, max_length=max_length)
    reader = RedisStreamReader(server.url, PREFIX, 1)
    await writer.open()
    await reader.open()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        try:
            yield writer, reader, client
        finally:
            await writer.close()
            await reader.close()


def test_ids_are_positions(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, reader, _):
            high = 2**64 - 8  # an LSN uses all of its 64 bits
            await write(writer, 2, incarnation=high)
            assert [record.next_place for record in await reader.tail(0, 2)] == [f"{high}-0", f"{high}-1"]

    asyncio.run(scenario())


def test_an_entry_deleted_in_the_middle_is_a_gap(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, reader, client):
            start = await reader.oldest(0)
            await write(writer, 5)
            await client.xdel(STREAM, "100-2")
            with pytest.raises(LogGap, match="100-2"):
                await reader.read({0: start}, 0.1)
            with pytest.raises(LogGap, match="100-2"):
                await reader.read({0: "100-1"}, 0.1)
            assert len(await reader.read({0: "100-2"}, 0.1)) == 2

    asyncio.run(scenario())


def test_a_newest_entry_that_was_lost_is_a_gap_once_something_follows(redis_server: RedisServer) -> None:
    """As after a fail-over to a replica that lacked the newest entries: the stream goes back, the writer goes on."""

    async def scenario() -> None:
        async with opened(redis_server) as (writer, reader, client):
            await write(writer, 3)
            dump = await client.dump(STREAM)
            assert isinstance(dump, bytes)
            await write(writer, 2, first=3)
            await client.restore(STREAM, 0, dump, replace=True)
            with pytest.raises(LogGap, match="100-4"):
                await reader.read({0: "100-4"}, 0.05)
            assert list(await reader.read({0: "100-2"}, 0.05)) == []
            await write(writer, 1, first=5)
            with pytest.raises(LogGap):
                await reader.read({0: "100-2"}, 0.05)
            [record] = await reader.read({0: "100-4"}, 0.05)  # who had read them has lost nothing
            assert record.value == value(5)

    asyncio.run(scenario())


def test_a_successor_may_be_opened_long_before_it_takes_over(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, reader, _), opened(redis_server) as (successor, _, _):
            start = await reader.oldest(0)
            await write(writer, 5, incarnation=100)
            await write(successor, 3, incarnation=200)
            assert len(await read_all(reader, {0: start}, 8)) == 8

    asyncio.run(scenario())


def test_a_writer_may_take_over_again(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (one, reader, _), opened(redis_server) as (other, _, _):
            start = await reader.oldest(0)
            await write(one, 2, incarnation=100)
            await write(other, 2, incarnation=200)
            await write(one, 2, incarnation=300)
            assert len(await read_all(reader, {0: start}, 6)) == 6

    asyncio.run(scenario())


def test_an_older_incarnation_is_fenced_off(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (zombie, reader, _), opened(redis_server) as (successor, _, _):
            await write(zombie, 2, incarnation=100)
            await write(successor, 2, incarnation=200)
            with pytest.raises(LogUnavailable, match="equal or smaller"):
                await zombie.append(0, at(2, 100), b"", value(2))
            with pytest.raises(LogUnavailable):
                await zombie.append(0, at(0, 300), b"", value(2))
            assert len(await reader.tail(0, 10)) == 4

    asyncio.run(scenario())


def test_a_writer_whose_stream_has_vanished_fails_and_makes_none(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, _, client):
            await write(writer, 2)
            await client.delete(STREAM)
            with pytest.raises(LogGap):
                await writer.append(0, at(2), b"", value(2))
            assert not await client.exists(STREAM)

    asyncio.run(scenario())


def test_a_stream_that_vanished_alone_makes_the_log_anew(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, _, client):
            identity = await writer.identity()
            await client.delete(STREAM)
        async with opened(redis_server) as (writer, _, _):
            assert await writer.identity() != identity

    asyncio.run(scenario())


def test_redis_without_memory_refuses_a_whole_round(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, reader, client):
            await write(writer, 1)
            await client.config_set("maxmemory-policy", "noeviction")
            await client.config_set("maxmemory", "1")
            try:
                futures = [writer.append(0, at(k), b"", value(k)) for k in (1, 2)]
                with pytest.raises(LogUnavailable, match=r"(?i)memory"):
                    await writer.flush()
                assert all(future.exception() for future in futures)
            finally:
                await client.config_set("maxmemory", "0")
            assert len(await reader.tail(0, 10)) == 1

    asyncio.run(scenario())


def test_streams_trim_themselves_and_a_reader_left_behind_finds_a_gap(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server, max_length=200) as (writer, reader, client):
            start = await reader.oldest(0)
            await write(writer, 2000)
            assert 200 <= await client.xlen(STREAM) < 500
            with pytest.raises(LogGap):
                await reader.read({0: start}, 0.1)
            assert len(await read_all(reader, {0: await reader.oldest(0)}, 200)) >= 200

    asyncio.run(scenario())


def test_a_cancelled_read_loses_nothing(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        async with opened(redis_server) as (writer, reader, _):
            start = await reader.oldest(0)
            waiting = asyncio.create_task(reader.read({0: start}, 30))
            for _ in range(20):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await write(writer, 3)
            assert len(await read_all(reader, {0: start}, 3)) == 3

    asyncio.run(scenario())


def test_passwords_stay_out_of_errors() -> None:
    async def scenario() -> None:
        reader = RedisStreamReader("redis://:hunter2@127.0.0.1:1/0", PREFIX, 1)
        with pytest.raises(LogUnavailable) as caught:
            await reader.open()
        assert "hunter2" not in str(caught.value)

    asyncio.run(scenario())
