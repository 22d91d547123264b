"""The conformance suite of the event logs: every claim of `log.py`, on every log, with real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from services.shared.eventlog.log import (
    TAIL_BYTES,
    EventLogReader,
    EventLogWriter,
    LogGap,
    LogUnavailable,
    LogUnsuitable,
)
from services.shared.lsn import Lsn
from tests.integration.eventlog_backends import (
    Backend,
    KafkaBackend,
    RedisBackend,
    at,
    eventually,
    read_all,
    recovered,
    value,
    write,
)
from tests.servers.redis import RedisServer


@pytest.fixture(params=["valkey", "redis", "kafka"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "kafka":
        yield KafkaBackend(request.getfixturevalue("kafka_server"))
    else:
        with RedisServer(request.param) as server:  # a millisecond, so each test may have one to break
            yield RedisBackend(server)


@asynccontextmanager
async def opened_writer(backend: Backend) -> AsyncIterator[EventLogWriter]:
    writer = backend.writer()
    await writer.open()
    try:
        yield writer
    finally:
        await writer.close()


@asynccontextmanager
async def opened_reader(backend: Backend) -> AsyncIterator[EventLogReader]:
    reader = backend.reader()
    await reader.open()
    try:
        yield reader
    finally:
        await reader.close()


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[tuple[EventLogWriter, EventLogReader]]:
    async with opened_writer(backend) as writer, opened_reader(backend) as reader:
        yield writer, reader


# ── appending and reading


def test_records_come_in_the_order_of_the_calls(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            start = await reader.oldest(0)
            for k in range(3000):  # several rounds
                writer.append(0, at(k), b"key", value(k))
            records = await read_all(reader, {0: start}, 3000)
            assert [record.value for record in records] == [value(k) for k in range(3000)]
            assert {record.partition for record in records} == {0}

    asyncio.run(scenario())


def test_an_acknowledged_record_is_in_the_log(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await writer.append(1, at(0), b"key", value(0))
            assert [record.value for record in await reader.tail(1, 10)] == [value(0)]

    asyncio.run(scenario())


def test_flush_waits_for_everything_before_it(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened_writer(backend) as writer:
            futures = [writer.append(k % 2, at(k // 2), b"key", value(k)) for k in range(500)]
            await writer.flush()
            assert all(future.done() and future.exception() is None for future in futures)

    asyncio.run(scenario())


def test_partitions_are_read_together_and_apart(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            starts = {partition: await reader.oldest(partition) for partition in range(2)}
            await write(writer, 3, partition=0)
            await write(writer, 2, partition=1)
            both = await read_all(reader, starts, 5)
            assert sorted((record.partition, record.value) for record in both) == [
                *((0, value(k)) for k in range(3)),
                *((1, value(k)) for k in range(2)),
            ]
            alone = await read_all(reader, {1: starts[1]}, 2)
            assert [record.partition for record in alone] == [1, 1]

    asyncio.run(scenario())


def test_a_large_record_passes(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            large = b"x" * 900_000
            start = await reader.oldest(0)
            for k in range(4):
                writer.append(0, at(k), b"key", large)
            await writer.flush()
            assert [record.value for record in await read_all(reader, {0: start}, 4)] == [large] * 4

    asyncio.run(scenario())


def test_a_waiting_read_wakes_when_a_record_comes(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            start = await reader.oldest(0)
            waiting = asyncio.create_task(read_all(reader, {0: start}, 1))
            await write(writer, 1)
            assert len(await waiting) == 1

    asyncio.run(scenario())


def test_nothing_new_is_an_empty_answer(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            start = await reader.oldest(0)
            assert list(await reader.read({0: start}, 0.05)) == []
            await write(writer, 1)
            [record] = await read_all(reader, {0: start}, 1)
            assert list(await reader.read({0: record.next_place}, 0.05)) == []
            assert list(await reader.read({0: record.next_place}, 0)) == []

    asyncio.run(scenario())


# ── places


def test_place_gives_the_record_and_next_place_what_follows(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 10)
            records = await reader.tail(0, 10)
            for record, following in pairwise(records):
                assert (await read_all(reader, {0: record.place}, 1))[0] == record
                assert (await read_all(reader, {0: record.next_place}, 1))[0] == following

    asyncio.run(scenario())


def test_the_places_decide_even_backwards(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 50)
            records = await reader.tail(0, 50)
            for start in (0, 40, 7, 7, 49, 0):
                again = await read_all(reader, {0: records[start].place}, 50 - start)
                assert again == records[start:]

    asyncio.run(scenario())


def test_places_survive_a_new_reader_and_a_new_writer(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 5)
            identity = await reader.identity()
            place = (await reader.tail(0, 3))[0].place
        async with opened(backend) as (writer, reader):
            await write(writer, 2, incarnation=200)
            assert await reader.identity() == await writer.identity() == identity
            records = await read_all(reader, {0: place}, 5)
            assert [record.value for record in records] == [value(k) for k in (2, 3, 4, 0, 1)]

    asyncio.run(scenario())


def test_tail_gives_the_newest_oldest_first(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            assert await writer.tail(0, 5) == []
            await write(writer, 20)
            for log in (writer, reader):
                assert [record.value for record in await log.tail(0, 3)] == [value(k) for k in (17, 18, 19)]
                assert len(await log.tail(0, 100)) == 20
                assert await log.tail(1, 5) == []

    asyncio.run(scenario())


def test_tail_is_bounded_in_bytes_and_gives_the_newest_whatever_its_size(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened_writer(backend) as writer:
            for k in range(100):
                writer.append(0, at(k), b"", bytes([k]) * (TAIL_BYTES // 20))
            await writer.flush()
            assert [record.value[0] for record in await writer.tail(0, 1_000)] == list(range(80, 100))
            assert [record.value[0] for record in await writer.tail(0, 3)] == [97, 98, 99]

    asyncio.run(scenario())


def test_oldest_is_where_an_empty_log_and_a_truncated_one_begin(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            beginning = await reader.oldest(0)
            await write(writer, 10)
            assert await reader.oldest(0) == beginning
            await backend.truncate((await reader.tail(0, 4))[0].place)
            records = await read_all(reader, {0: await reader.oldest(0)}, 4)
            assert [record.value for record in records] == [value(k) for k in (6, 7, 8, 9)]

    asyncio.run(scenario())


# ── losses


def test_a_truncated_beginning_is_a_gap(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 10)
            records = await reader.tail(0, 10)
            await backend.truncate(records[5].place)
            with pytest.raises(LogGap):
                await read_all(reader, {0: records[2].place}, 1)
            with pytest.raises(LogGap):
                await read_all(reader, {0: records[4].place}, 1)
            assert await read_all(reader, {0: records[4].next_place}, 5) == records[5:]

    asyncio.run(scenario())


def test_truncation_behind_the_reader_is_none_of_its_business(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 10)
            records = await reader.tail(0, 10)
            await backend.truncate(records[9].place)
            assert await read_all(reader, {0: records[8].next_place}, 1) == records[9:]
            assert list(await reader.read({0: records[9].next_place}, 0.05)) == []

    asyncio.run(scenario())


def test_a_deleted_log_is_a_gap(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 3)
            [*_, last] = await reader.tail(0, 1)
            await backend.delete_log()
            await eventually(lambda: reader.read({0: last.next_place}, 0.1), LogGap)
            await eventually(reader.identity, LogGap)

    asyncio.run(scenario())


@pytest.mark.parametrize("length", [1, 3, 10])
def test_a_log_made_anew_is_a_gap_and_has_another_identity(backend: Backend, length: int) -> None:
    """Shorter than, as long as and longer than the one that was followed; with the same positions or others."""

    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 3)
            identity = await reader.identity()
            [*_, last] = await reader.tail(0, 1)
            await writer.close()
            await backend.delete_log()
            async with opened_writer(backend) as anew:
                await write(anew, length)
                await eventually(lambda: reader.read({0: last.next_place}, 0.1), LogGap)
                assert await reader.identity() == await anew.identity() != identity
                records = await read_all(reader, {0: await reader.oldest(0)}, length)
                assert [record.value for record in records] == [value(k) for k in range(length)]

    asyncio.run(scenario())


def test_a_place_of_another_kind_of_log_is_a_gap(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 1)
            for foreign in ("", "no place", "99999999-x"):
                with pytest.raises(LogGap):
                    await reader.read({0: foreign}, 0.05)

    asyncio.run(scenario())


def test_an_epoch_may_begin_below_the_positions_before_it(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 3, incarnation=1000)
            identity = await writer.begin_epoch(Lsn(50))
            assert identity == await writer.identity()
            await write(writer, 2, incarnation=50)
            records = await recovered(lambda: reader.tail(0, 2), LogGap)
            assert [record.value for record in records] == [value(0), value(1)]

    asyncio.run(scenario())


def test_beginning_a_later_epoch_keeps_the_log(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 3, incarnation=1000)
            identity = await writer.identity()
            assert await writer.begin_epoch(Lsn(2000)) == identity
            await write(writer, 1, incarnation=2000)
            assert len(await reader.tail(0, 10)) == 4

    asyncio.run(scenario())


# ── refusals and failures


def test_another_number_of_partitions_is_refused_with_advice(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened_writer(backend):
            pass
        backend.partition_count = 3
        for log in (backend.writer(), backend.reader()):
            with pytest.raises(LogUnsuitable, match="set partitions to 2"):
                await log.open()

    asyncio.run(scenario())


def test_a_reader_does_not_make_the_log(backend: Backend) -> None:
    async def scenario() -> None:
        reader = backend.reader()
        with pytest.raises(LogUnavailable, match="does not exist yet"):
            await reader.open()
        async with opened_writer(backend):
            await reader.open()
            await reader.close()

    asyncio.run(scenario())


def test_a_reader_outlives_its_server(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 3)
            [*_, last] = await reader.tail(0, 1)
            backend.server.pause()
            try:
                await eventually(lambda: reader.read({0: last.next_place}, 0.1), LogUnavailable)
                await eventually(reader.identity, LogUnavailable)
            finally:
                backend.server.resume()
            assert list(await recovered(lambda: reader.read({0: last.next_place}, 0.1), LogUnavailable)) == []
            assert (await recovered(lambda: reader.tail(0, 1), LogUnavailable)) == [last]

    asyncio.run(scenario())


def test_a_writers_failure_is_final(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened_writer(backend) as writer:
            await write(writer, 1)
            backend.server.pause()
            try:
                futures = [writer.append(0, at(k), b"key", value(k)) for k in (1, 2, 3)]
                with pytest.raises(LogUnavailable):
                    await writer.flush()
                assert all(isinstance(future.exception(), LogUnavailable) for future in futures)
            finally:
                backend.server.resume()
            with pytest.raises(LogUnavailable):
                await writer.append(0, at(4), b"key", value(4))
            with pytest.raises(LogUnavailable):
                await writer.flush()
        async with opened_writer(backend) as successor:
            await write(successor, 1, incarnation=200)

    asyncio.run(scenario())


def test_what_is_not_acknowledged_when_a_writer_closes_fails(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened_writer(backend) as writer:
            future = writer.append(0, at(0), b"key", value(0))
            await writer.close()
            assert future.done()

    asyncio.run(scenario())


def test_a_killed_server_is_noticed_and_found_again(backend: Backend) -> None:
    async def scenario() -> None:
        async with opened(backend) as (writer, reader):
            await write(writer, 3)
            [*_, last] = await reader.tail(0, 1)
            backend.server.kill()
            await eventually(lambda: reader.read({0: last.next_place}, 0.1), LogUnavailable)
            with pytest.raises(LogUnavailable):
                await writer.append(0, at(3), b"key", value(3))
            for log in (backend.writer(), backend.reader()):
                with pytest.raises(LogUnavailable):
                    await log.open()
            await asyncio.to_thread(backend.server.start)
            if isinstance(backend, KafkaBackend):  # what it acknowledged is on disk
                assert [r.value for r in await recovered(lambda: reader.tail(0, 1), LogUnavailable)] == [value(2)]
            else:  # without persistence everything is gone
                await eventually(lambda: reader.read({0: last.next_place}, 0.1), LogGap)

    asyncio.run(scenario())
