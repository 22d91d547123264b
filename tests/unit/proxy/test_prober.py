"""When the primary is asked: while there are reads, and again once there are."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from services.proxy.cache import prober as module
from services.proxy.cache.freshness import Freshness, boot_clock
from services.proxy.cache.outage import Outage
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
