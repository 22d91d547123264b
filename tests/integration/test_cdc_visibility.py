"""Nothing is published before it is visible, and what a watermark says is true meanwhile."""

import asyncio
from collections.abc import Iterator

import pytest

from schemas.watermark import Watermark
from services.cdc.control import ControlConnection
from services.cdc.pgoutput.decoder import Decoder
from services.cdc.pgoutput.messages import Begin, Commit
from services.cdc.publication import create_publication
from services.cdc.replication.errors import ReplicationError
from services.cdc.replication.frames import Keepalive
from services.cdc.replication.slot import prepare_slot
from services.cdc.replication.stream import ReplicationConnection
from services.cdc.wakeup import Wakeup
from services.shared.lsn import Lsn, parse_lsn
from tests.integration.cdc_hanging import hanging_commit
from tests.integration.cdc_harness import DURABLE, connected_to, make_cache, running, scene, until, watching_log
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.redis import RedisServer

TABLE = "CREATE TABLE t (id int PRIMARY KEY)"


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of this module's own: a missing standby holds up everybody."""
    with PostgresServer(request.param, **DURABLE) as server:
        yield server


@pytest.fixture
def own_database(server: PostgresServer) -> Iterator[str]:
    with server.database("visibility") as name:
        server.execute(TABLE, database=name)
        yield name


def test_a_commit_that_waits_for_a_standby_is_published_when_it_becomes_visible(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        url = server.url(own_database)
        async with running(cache) as cdc, watching_log(cache) as view, connected_to(url) as client:
            await client.execute("INSERT INTO t VALUES (1)")
            await until(lambda: view.inserted("t") == ["1"], "the first row")
            async with hanging_commit(server, own_database, "INSERT INTO t VALUES (2)") as hanging:
                await until(lambda: cdc.statistics.held == 1, "the transaction to be held")
                assert await client.fetchval("SELECT max(id) FROM t") == 1
                meanwhile = len(view.events)
                for number in range(3, 30):
                    await client.execute(f"INSERT INTO t VALUES ({number})")
                await until(lambda: view.inserted("t")[-1] == "29", "the others to be published")
                await until(lambda: view.events[-1].kind == "watermark", "a watermark behind them")
                marks = [event for event in view.events[meanwhile:] if isinstance(event, Watermark)]
                beyond = [mark for mark in marks if parse_lsn(mark.watermark) > hanging.beyond]
                assert beyond, "freshness goes on"
                # An insert LSN itself and not one more: the held transaction could become visible with no new WAL.
                assert all(parse_lsn(mark.watermark) % 8 == 0 for mark in beyond)
                assert all(parse_lsn(mark.settled) < hanging.beyond for mark in beyond)
                assert "2" not in view.inserted("t")
            await until(lambda: view.inserted("t")[-1] == "2", "the held transaction")
            await until(
                lambda: isinstance(mark := view.events[-1], Watermark) and parse_lsn(mark.watermark) % 8 == 1,
                "a watermark with nothing held",
            )
            assert parse_lsn(view.watermarks[-1].settled) > hanging.beyond
        assert view.inserted("t") == ["1", *map(str, range(3, 30)), "2"]

    scene(play)


def test_a_held_transaction_is_not_confirmed_and_survives_the_service(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    """What Postgres is told to forget ends where the held commit record starts: one byte more, and it is lost."""
    cache = make_cache(server, own_database, valkey)
    confirmed = f"SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = '{cache.slot}'"

    async def play() -> None:
        url = server.url(own_database)
        async with watching_log(cache) as view, connected_to(url) as client:
            async with running(cache) as cdc, hanging_commit(server, own_database, "INSERT INTO t VALUES (3)"):
                await until(lambda: cdc.statistics.held == 1, "the transaction to be held")
                for number in range(4, 10):
                    await client.execute(f"INSERT INTO t VALUES ({number})")
                await until(lambda: "9" in view.inserted("t"), "the others to be published")
                await until(
                    lambda: server.execute(confirmed) == [(parse_lsn(view.watermarks[-1].settled),)],
                    "Postgres to be told as much as it may be",
                )
                await cdc.stop()
            async with running(cache):
                await until(lambda: "3" in view.inserted("t"), "the held transaction")
        assert view.beginnings() == ["epoch", "resume"]

    scene(play)


def test_no_watermark_before_those_who_were_open_have_ended(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    """The birth barrier of an epoch: a commit that nobody sees yet might never be streamed."""
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        url = server.url(own_database)
        async with running(cache), watching_log(cache) as first:
            await until(lambda: len(first.watermarks) > 0, "a first watermark in the log")
        server.execute("UPDATE tidegate.canary SET canary = 'another'", database=own_database)
        async with (
            connected_to(url) as client,
            connected_to(url) as other,
            watching_log(cache) as view,
        ):
            await until(lambda: len(view.watermarks) > 0, "the first epoch")
            await client.execute("BEGIN; INSERT INTO t VALUES (1)")
            async with running(cache, connected=False):
                await until(lambda: view.beginnings() == ["epoch", "epoch"], "the second epoch")
                begun = len(view.events)
                for number in range(2, 22):
                    await other.execute(f"INSERT INTO t VALUES ({number})")
                    await until(lambda n=number: view.inserted("t")[-1:] == [str(n)], "a change")  # type: ignore[misc]
                assert not any(isinstance(event, Watermark) for event in view.events[begun:])
                await client.execute("COMMIT")
                await until(lambda: any(event.kind == "watermark" for event in view.events[begun:]), "a watermark")
            kinds = [event.kind for event in view.events[begun:] if event.kind != "catalog"]
            before = kinds[: kinds.index("watermark")]
            assert sorted(before) == ["changes"] * 21 + ["schema"]
            assert view.inserted("t")[-1] == "1"

    scene(play)


def test_no_watermark_while_a_commit_that_was_skipped_is_not_visible(
    server: PostgresServer, own_database: str, valkey: RedisServer
) -> None:
    """H47: a slot that was advanced over a commit which nobody sees yet never streams it."""
    cache = make_cache(server, own_database, valkey)

    async def play() -> None:
        url = server.url(own_database)
        async with watching_log(cache) as view, connected_to(url) as client:
            async with running(cache):
                await until(lambda: len(view.watermarks) > 0, "a first watermark in the log")
            async with hanging_commit(server, own_database, "INSERT INTO t VALUES (1)"):
                await client.fetchval("SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())", cache.slot)
                async with running(cache, connected=False):
                    await until(lambda: view.beginnings() == ["epoch", "resume"], "the second incarnation")
                    begun = len(view.events)
                    for number in range(2, 12):
                        await client.execute(f"INSERT INTO t VALUES ({number})")
                        await until(lambda n=number: view.inserted("t")[-1:] == [str(n)], "a change")  # type: ignore[misc]
                    assert not any(isinstance(event, Watermark) for event in view.events[begun:])
                    server.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
                    await until(lambda: any(event.kind == "watermark" for event in view.events[begun:]), "a watermark")
            assert await client.fetchval("SELECT count(*) FROM t WHERE id = 1") == 1
            assert "1" not in view.inserted("t")

    scene(play)


def test_a_stream_that_the_server_has_ended_is_closed_all_the_same(server: PostgresServer, own_database: str) -> None:
    """It was waited for when a read by the clock saw its end, and libpq then tells no socket any more."""
    upstream = make_cache(server, own_database, RedisServer()).upstream
    ends = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'ended'"

    async def play() -> None:
        stream = await ReplicationConnection.open(upstream, "ended")
        stream.watch(Wakeup().wake)
        server.execute(ends)
        for _ in ("what the server says last", "the end of the connection"):
            with pytest.raises(ReplicationError):
                _read_on(stream)
        # Whoever connects next has the number of the socket that libpq has closed.
        async with connected_to(server.url(own_database)) as next_one:
            await stream.close()
            assert await next_one.fetchval("SELECT 1") == 1

    scene(play)


def _read_on(stream: ReplicationConnection) -> None:
    for _ in range(100):
        stream.receive(1)


def test_a_keepalive_never_runs_ahead_of_the_commits_that_were_sent(server: PostgresServer, own_database: str) -> None:
    """The stream position rests on this: what committed up to a keepalive's WAL end has come before it."""
    upstream = make_cache(server, own_database, RedisServer()).upstream
    server.execute("CREATE TABLE unpublished (id int)", database=own_database)

    async def write(first: int) -> None:
        async with connected_to(server.url(own_database)) as client:
            for number in range(first, first + 200):
                await client.execute(f"SET synchronous_commit = {('off', 'local')[number % 2]}")
                await client.execute(f"INSERT INTO {('t', 'unpublished')[number % 3 == 0]} VALUES ({number})")
                await client.execute(f"BEGIN; INSERT INTO t VALUES (-{number}); ROLLBACK")

    async def play() -> None:
        control = await ControlConnection.open(upstream, "test")
        stream = await ReplicationConnection.open(upstream, "test")
        await create_publication(control, "keepalives")
        await control.execute("ALTER PUBLICATION keepalives ADD TABLE public.t")
        await prepare_slot(control, stream, "keepalives")
        await stream.start("keepalives", "keepalives")
        writers = asyncio.gather(*(write(1000 * n) for n in range(1, 4)))
        wakeup, decoder = Wakeup(), Decoder()
        ahead = commits = keepalives = 0
        expected = sum(number % 3 != 0 for n in range(1, 4) for number in range(1000 * n, 1000 * n + 200))
        rows = 0
        while rows < expected:
            stream.send_status(Lsn(0), reply_requested=True)
            stream.watch(wakeup.wake)
            await wakeup.wait(0.002)
            frames, _ = stream.receive(1000)
            for frame in frames:
                if isinstance(frame, Keepalive):
                    ahead = max(ahead, frame.wal_end)
                    keepalives += 1
                    continue
                message = decoder.decode(frame.payload)
                if isinstance(message, Commit):
                    assert message.end_lsn > ahead
                    commits += 1
                rows += type(message).__name__ == "Insert"
                assert not isinstance(message, Begin) or message.commit_lsn >= ahead
        await writers
        assert keepalives > 10
        assert commits >= expected
        await stream.close()
        await control.close()

    scene(play)
