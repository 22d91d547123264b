"""When the primary is asked: while there are reads, and again once there are."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from services.proxy.cache import outage as outage_module
from services.proxy.cache import prober as module
from services.proxy.cache.freshness import Freshness, boot_clock
from services.proxy.cache.outage import Change, Outage, Phase
from services.proxy.cache.prober import Prober, ProbeTiming

_STALENESS_SECONDS = 5.0  # a probe every half second: longer than this test lets pass between two reads


class Primary:
    """A primary that counts how often it is asked."""

    def __init__(self) -> None:
        self.probes = 0

    async def __call__(self, _purpose: str) -> "Primary":
        return self

    async def fetchrow(self, *_arguments: object, **_options: object) -> tuple[str, str, str]:
        return "1", "5", ""

    async def prepare(self, _statement: str) -> Any:
        return SimpleNamespace(fetchrow=self._probe)

    async def _probe(self, *_arguments: object, **_options: object) -> tuple[str, str, str]:
        self.probes += 1
        return "0/1", "canary", "00000001"

    def terminate(self) -> None:
        pass

    async def close(self, *, timeout: float) -> None:
        pass


async def _until(condition: Callable[[], bool]) -> None:
    give_up_at = boot_clock() + 5
    for _ in iter(condition, True):
        assert boot_clock() < give_up_at
        await asyncio.sleep(0)


def test_a_read_that_finds_nothing_fresh_wakes_it_however_soon_it_comes_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reads that came in quick succession while it slept were each taken for a sign that it was awake."""
    monkeypatch.setattr(module, "_QUIET_SECONDS", -1.0)  # it sleeps after each probe

    async def play() -> None:
        primary, freshness = Primary(), Freshness(_STALENESS_SECONDS)
        follower: Any = SimpleNamespace(stream=None, epoch="")
        connect: Any = primary
        outage = Outage(0.0, freshness, lambda _change: None)
        prober = Prober(connect, "c", follower, freshness, outage, ProbeTiming(_STALENESS_SECONDS, lambda: 0))
        task = asyncio.create_task(prober.run())
        async with asyncio.timeout(10):
            await _until(lambda: prober._sleeps)
            freshness.deadline = boot_clock() + 60
            prober.note_read()  # a hit
            assert primary.probes == 1
            freshness.deadline = 0.0
            prober.note_read()
            await _until(lambda: primary.probes > 1)
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(play())


class _Flapping(Primary):
    """A primary whose probes, and whose new connections, fail when told."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = False
        self.waits = False  # for its clients: it answers them all the same
        self.connects = 0

    async def __call__(self, _purpose: str) -> "Primary":
        self.connects += 1
        if self.refuses:
            raise ConnectionRefusedError
        return self

    async def _probe(self, *_arguments: object, **_options: object) -> tuple[str, str, str]:
        if self.refuses and not self.waits:
            raise ConnectionResetError
        return await super()._probe()


def _prober(primary: Primary, outage: Outage, freshness: Freshness, max_staleness: float) -> Prober:
    follower: Any = SimpleNamespace(stream=None, epoch="")
    connect: Any = primary
    return Prober(connect, "c", follower, freshness, outage, ProbeTiming(max_staleness, lambda: 0))


def test_it_finds_out_whether_the_primary_is_down_and_when_it_is_back() -> None:
    async def play() -> None:
        primary, freshness = _Flapping(), Freshness(_STALENESS_SECONDS)
        changes: list[Change] = []
        outage = Outage(60.0, freshness, changes.append)
        prober = _prober(primary, outage, freshness, _STALENESS_SECONDS)
        task = asyncio.create_task(prober.run())
        async with asyncio.timeout(10):
            await _until(lambda: primary.probes > 0)
            primary.refuses = True
            outage.suspect()  # as a session does whose connection is lost
            prober.ask()
            await _until(lambda: outage.phase is Phase.DOWN)
            assert primary.connects > 1
            primary.refuses = False
            await _until(lambda: outage.phase is Phase.UP)
            assert changes == [Change.BEGUN, Change.ENDED]
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(play())


def test_it_clears_a_suspicion_within_a_moment() -> None:
    async def play() -> None:
        primary, freshness = _Flapping(), Freshness(_STALENESS_SECONDS)
        changes: list[Change] = []
        outage = Outage(60.0, freshness, changes.append)
        prober = _prober(primary, outage, freshness, _STALENESS_SECONDS)
        task = asyncio.create_task(prober.run())
        async with asyncio.timeout(10):
            await _until(lambda: primary.probes > 0)
            outage.suspect()
            prober.ask()
            await _until(lambda: changes == [Change.CLEARED])
            assert primary.connects == 2
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(play())


def test_a_primary_that_takes_no_new_connections_and_answers_is_not_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shuts down, and waits for its clients. An answer soon after a session's end says nothing."""
    monkeypatch.setattr(outage_module, "_WAITS_SECONDS", 0.1)

    async def play() -> None:
        primary, freshness = _Flapping(), Freshness(_STALENESS_SECONDS)
        changes: list[Change] = []
        outage = Outage(60.0, freshness, changes.append)
        prober = _prober(primary, outage, freshness, _STALENESS_SECONDS)
        task = asyncio.create_task(prober.run())
        async with asyncio.timeout(10):
            await _until(lambda: primary.probes > 0)
            primary.refuses = primary.waits = True
            outage.suspect()
            suspected_at, probes = boot_clock(), primary.probes
            prober.ask()
            await _until(lambda: changes == [Change.CLEARED])
            assert boot_clock() >= suspected_at + 0.1
            assert primary.probes > probes + 2
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(play())


@pytest.mark.parametrize(("serve_stale_for", "goes_on"), [(0.0, False), (0.5, True)])
def test_an_idle_cache_proves_itself_now_and_then_where_an_outage_needs_it(
    monkeypatch: pytest.MonkeyPatch, serve_stale_for: float, goes_on: bool
) -> None:
    monkeypatch.setattr(module, "_QUIET_SECONDS", -1.0)  # it sleeps after each probe

    async def play() -> None:
        primary, freshness = Primary(), Freshness(0.05)
        prober = _prober(primary, Outage(serve_stale_for, freshness, lambda _change: None), freshness, 0.05)
        task = asyncio.create_task(prober.run())
        async with asyncio.timeout(10):
            await _until(lambda: prober._sleeps)
            asleep_at = boot_clock()
            if goes_on:
                await _until(lambda: primary.probes >= 3)
                assert boot_clock() - asleep_at >= 2 * serve_stale_for / 10
            else:
                await _until(lambda: boot_clock() > asleep_at + 0.2)
                assert primary.probes == 1
        task.cancel()
        await asyncio.wait({task})

    asyncio.run(play())
