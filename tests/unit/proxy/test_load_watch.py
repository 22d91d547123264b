"""A worker that has no pause is seen to have none, and one that rests is seen to rest."""

import asyncio
import time

import pytest

from services.proxy.admission.pressure import Pressure
from services.proxy.worker import load_watch

_PATIENCE_SECONDS = 20.0


def test_a_busy_worker_is_seen_to_be_busy_until_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_watch, "_PAUSE_SECONDS", 0.05)
    pressure = Pressure()

    def work() -> None:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass

    async def watch() -> None:
        watching = asyncio.create_task(load_watch.watch_load(pressure))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while pressure.busy < 0.9:
                work()
                await asyncio.sleep(0)
            while pressure.busy > 0.2:  # noqa: ASYNC110 - nothing happens but that time passes
                await asyncio.sleep(0.05)
        watching.cancel()

    asyncio.run(watch())
