"""`tidegate tail` as a process, beside a log written by hand and a real invalidator, on Redis Streams and on Kafka."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # it ships no types

from services.shared.keyspace.dead_letter import dead_letter
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.keys import Keys
from services.shared.position import Position
from tests.integration.invalidator_stage import Stage, fill_everything, play
from tests.integration.log_author import CACHE, insert, update
from tests.servers.kafka import KafkaServer
from tests.servers.redis import RedisServer

_REPOSITORY = Path(__file__).resolve().parents[2]
_SECONDS = 15.0


class Tail:
    """A running `tidegate tail --json`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, object]] = []

    async def until(self, wanted: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        """Read until a line is as wanted, and return that."""
        assert self.process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            while raw := await self.process.stdout.readline():
                self.lines.append(json.loads(raw))
                if wanted(self.lines[-1]):
                    return self.lines[-1]
        raise AssertionError(f"it ended: {self.lines}")

    async def note(self, text: str) -> None:
        """Wait for a note that holds a text."""
        await self.until(lambda line: line["kind"] == "note" and text in str(line["text"]))

    def of(self, kind: str) -> list[dict[str, object]]:
        """The lines of one kind so far."""
        return [line for line in self.lines if line["kind"] == kind]


def _environment(stage: Stage, folder: Path) -> dict[str, str]:
    settings = stage.settings
    (folder / "tidegate.toml").write_text(
        f'[cache.{CACHE}]\ndatabase_url = "postgresql://nobody@127.0.0.1:1/none"\n'
        f'redis_url = "{settings.redis_url.get_secret_value()}"\n'
        f'event_log = "{settings.event_log.get_secret_value()}"\n'
        f"partitions = {settings.partitions}\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    return kept | {"PYTHONPATH": str(_REPOSITORY), "TIDEGATE_CONFIG": str(folder / "tidegate.toml")}


@contextlib.asynccontextmanager
async def tailing(stage: Stage, folder: Path, *options: str) -> AsyncIterator[Tail]:
    """Run it; at the end Ctrl-C has to end it, without a word."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "tail", "--json", *options, env=_environment(stage, folder),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 20,
    )  # fmt: skip
    try:
        yield Tail(process)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_SECONDS):
            _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _is_watermark(line: dict[str, object]) -> bool:
    return line["kind"] == "mark" and line["lag_bytes"] == 0


async def _begin(stage: Stage) -> None:
    await stage.begin()
    stage.start()
    await stage.covered()
    await fill_everything(stage)


async def _stop(stage: Stage) -> None:
    """Stop the invalidators: nobody writes any more."""
    for invalidator in stage.invalidators:
        await invalidator.stop()


async def _contents(stage: Stage) -> dict[bytes, bytes | None]:
    """Everything in Redis, key by key; times to live do not count."""
    return {key: await stage.client.dump(key) async for key in stage.client.scan_iter(count=1_000)}


def test_a_change_and_its_eviction_are_shown(redis_server: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        async with tailing(stage, tmp_path, "--table", "orders") as tail:
            await tail.until(_is_watermark)
            await stage.author.change(update(1, 9))
            evicted = await tail.until(lambda line: line["kind"] == "evict")
            (changed,) = tail.of("change")
            assert (changed["table"], changed["key"], changed["changed"]) == (
                "public.orders",
                {"id": "1"},
                ["customer"],
            )
            assert evicted["position"] == changed["position"]
            named: list[dict[str, object]] = evicted["named"]  # type: ignore[assignment]  # JSON
            row = {"operation": "update", "key": {"id": "1"}}
            assert {str(one["words"]): one["rows"] for one in named} == {
                "reads of all rows": [],
                "id=1": [row],
                "customer=9": [row],
                "any customer (old customer not told)": [row],
            }
            assert {one["tag"] for one in named} == set(evicted["tags"])  # type: ignore[call-overload]  # JSON
            await stage.author.wide("truncate")
            assert (await tail.until(lambda line: line["kind"] == "evict"))["operation"] == "table"

    play(redis_server, scenario, partitions=2)


def test_from_the_beginning(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        await stage.author.change(insert(3, 7))
        await stage.covered()
        async with tailing(stage, tmp_path, "--from-beginning", "--no-watermarks") as tail:
            evicted = await tail.until(lambda line: line["kind"] == "evict")
            assert [line["kind"] for line in tail.lines] == ["begin", "follow", "change", "evict"]
            assert "at" not in evicted  # nobody knows when that was

    play(valkey, scenario)


def test_a_log_that_does_not_exist_yet_is_waited_for(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.author.writer.close()
        await stage.client.flushall()
        async with tailing(stage, tmp_path, "--table", "itmes") as tail:
            await tail.note("does not exist yet")
            await tail.note("no invalidator has begun")
            await stage.new_writer()
            await stage.begin()
            await tail.until(lambda line: line["kind"] == "begin")  # nothing is missed that is new
            await tail.note("no table itmes")

    play(valkey, scenario)


def test_a_log_that_is_made_anew_is_said(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        async with tailing(stage, tmp_path) as tail:
            await tail.until(_is_watermark)
            await stage.client.flushall()
            await tail.note("vanished")
            await stage.new_writer()
            await stage.begin()
            await tail.until(lambda _: bool(tail.of("begin")) and "the cache begins, empty" in json.dumps(tail.lines))

    play(valkey, scenario)


def test_a_record_that_cannot_be_read_is_said_and_passed(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        async with tailing(stage, tmp_path) as tail:
            await tail.until(_is_watermark)
            at = Position(stage.author.incarnation, 99)
            await stage.author.writer.append(0, at, b"", b'{"kind":"unheard of","secret":"hunter2"}')
            dead = await tail.until(lambda line: line["kind"] == "dead")
            assert (dead["partition"], dead["error"]) == (0, "not an event: event: union_tag_invalid")
            assert "hunter2" not in json.dumps(tail.lines)

    play(valkey, scenario)


def test_what_the_invalidator_could_not_read_is_said_once(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        letters = DeadLetters(stage.client, CACHE, 5.0)
        await letters.keep(dead_letter(0, "7-7", b"gone from the log", "of yesterday"))
        async with tailing(stage, tmp_path) as tail:
            await tail.until(_is_watermark)
            for error in ("of an old invalidator", "of its twin", "of an old invalidator"):
                await letters.keep(dead_letter(0, "8-8", b"what tail can read", error))
            await letters.keep(dead_letter(0, "9-9", b"the next", "the last"))
            await tail.until(lambda line: line.get("error") == "the last")
            assert [line["error"] for line in tail.of("dead")] == ["of an old invalidator", "the last"]

    play(valkey, scenario)


def test_nobody_notices_it_on_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        await stage.author.change(update(1, 9))
        await stage.covered()
        await _stop(stage)
        await stage.client.script_flush()
        before = await _contents(stage)
        async with tailing(stage, tmp_path, "--from-beginning") as tail:
            await tail.until(_is_watermark)
            assert tail.of("evict")
        assert await _contents(stage) == before
        for stream in (f"tidegate:{{{CACHE}}}:log:0", Keys(CACHE).feed(0)):
            assert (await stage.client.xinfo_groups(stream)) == []
        assert (await stage.client.info("memory"))["number_of_cached_scripts"] == 0

    play(redis_server, scenario)


def test_nobody_notices_it_on_kafka(valkey: RedisServer, kafka_server: KafkaServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        await stage.author.change(update(1, 9))
        await stage.covered()
        await _stop(stage)
        before = await _contents(stage), await _cluster(kafka_server)
        async with tailing(stage, tmp_path, "--from-beginning") as tail:
            await tail.until(_is_watermark)
            assert tail.of("change")[-1]["operation"] == "update"
            assert tail.of("evict")
        assert (await _contents(stage), await _cluster(kafka_server)) == before

    play(valkey, scenario, event_log=f"kafka://{kafka_server.bootstrap}")


async def _cluster(server: KafkaServer) -> tuple[list[object], list[str]]:
    """The consumer groups and the topics of a cluster."""
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    try:
        return sorted(await admin.list_consumer_groups()), sorted(await admin.list_topics())
    finally:
        await admin.close()


def test_on_a_terminal_lines_are_coloured_and_ctrl_c_ends_it_quietly(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        ours, theirs = pty.openpty()
        environment = _environment(stage, tmp_path) | {"TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", "tail", "--from-beginning", env=environment,
            stdin=theirs, stdout=theirs, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        os.close(theirs)
        try:
            async with asyncio.timeout(_SECONDS):
                shown = b""
                while b"Redis: all of it" not in shown:
                    shown += await asyncio.to_thread(os.read, ours, 65_536)
                process.send_signal(signal.SIGINT)
                _, errors = await process.communicate()
        finally:
            os.close(ours)
        assert (process.returncode, errors) == (0, b"")
        assert b"\x1b[1m" in shown
        assert b"follow  public.orders" in shown

    play(valkey, scenario)


@pytest.mark.parametrize("options", [[], ["--no-watermarks", "--json"]])  # with them there is nothing to write
def test_whoever_stops_reading_ends_it_quietly(valkey: RedisServer, tmp_path: Path, options: list[str]) -> None:
    async def scenario(stage: Stage) -> None:
        await _begin(stage)
        reading, writing = os.pipe()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", "tail", *options, env=_environment(stage, tmp_path),
            stdout=writing, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        os.close(writing)
        os.close(reading)
        async with asyncio.timeout(_SECONDS):
            _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")

    play(valkey, scenario)


def test_another_number_of_partitions_is_refused(valkey: RedisServer, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.begin()
        environment = _environment(stage, tmp_path)
        text = (tmp_path / "tidegate.toml").read_text()
        (tmp_path / "tidegate.toml").write_text(text.replace("partitions = 1", "partitions = 3"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", "tail", env=environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(_SECONDS):
            _, errors = await process.communicate()
        assert process.returncode == 1
        assert errors.startswith(b"tidegate tail: the event log ")

    play(valkey, scenario)
