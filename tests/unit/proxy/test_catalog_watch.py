"""When the catalog may be relied on: never between a doubt and the end of a reading that began after it."""

import asyncio
from typing import Any, cast

import pytest

from services.proxy import catalog_watch
from services.proxy.cache.freshness import boot_clock
from services.proxy.catalog_watch import CatalogWatch
from services.proxy.sql.snapshot import Catalog
from tests.unit.sql.small_catalog import small_catalog


class _User:
    """Who rests on the catalog; counts how often it was told to let go."""

    def __init__(self) -> None:
        self.lost = 0
        self.readings = 0
        self.unchanged = asyncio.Event()  # by the third reading
        self.gone = asyncio.Event()

    def catalog_reading_begins(self) -> None:
        self.readings += 1

    def catalog_unchanged(self) -> None:
        if self.readings == 3:
            self.unchanged.set()

    async def catalog_changed(self, catalog: Catalog) -> None:
        pass

    def catalog_lost(self) -> None:
        self.lost += 1
        self.gone.set()


class _Connection:
    def terminate(self) -> None:
        pass

    async def fetchval(self, query: str) -> str:
        assert "pg_current_wal_insert_lsn" in query
        return "0/320"


def test_a_reading_under_way_does_not_end_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_watch, "_SPACING_SECONDS", 0.0)
    begun: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def stamp(_: object, publication: str) -> str:
        may_end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await begun.put(may_end)
        await may_end
        return publication

    async def load(_: object, publication: str) -> object:
        return small_catalog()

    async def connect(purpose: str) -> Any:
        return _Connection()

    monkeypatch.setattr(catalog_watch, "catalog_stamp", stamp)
    monkeypatch.setattr(catalog_watch, "load_catalog", load)

    async def play() -> list[tuple[bool, bool]]:
        user = _User()
        watch = CatalogWatch(cast(Any, connect), "publication", 60.0, user)
        task = asyncio.create_task(watch.run())
        seen = []

        def look() -> None:
            seen.append((watch.current, watch.readable))

        first = await begun.get()
        look()
        first.set_result(None)
        await watch.wait_for_first(5.0)
        look()
        watch.ask()
        second = await begun.get()
        watch.doubt()  # while a reading is under way, which may have seen what was before
        assert user.lost == 1
        look()
        second.set_result(None)
        third = await begun.get()  # at once
        look()
        third.set_result(None)
        await asyncio.wait_for(user.unchanged.wait(), 5.0)
        look()
        task.cancel()
        return seen

    seen = asyncio.run(asyncio.wait_for(play(), 10.0))
    assert seen == [(False, False), (True, True), (False, True), (False, True), (True, True)]


def test_a_reading_counts_for_the_bound_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one hangs, as one does that waits for a lock: what was known is not relied on any more."""
    interval, readings = 0.1, 0
    bound = 3 * interval
    monkeypatch.setattr(catalog_watch, "_COUNTS_AT_LEAST_SECONDS", 0.0)

    async def stamp(_: object, publication: str) -> str:
        nonlocal readings
        readings += 1
        if readings > 1:
            await asyncio.get_running_loop().create_future()
        return publication

    async def load(_: object, publication: str) -> object:
        return small_catalog()

    async def connect(purpose: str) -> Any:
        return _Connection()

    monkeypatch.setattr(catalog_watch, "catalog_stamp", stamp)
    monkeypatch.setattr(catalog_watch, "load_catalog", load)

    async def play() -> None:
        user = _User()
        watch = CatalogWatch(cast(Any, connect), "publication", interval, user)
        began = boot_clock()
        task = asyncio.create_task(watch.run())
        await watch.wait_for_first(5.0)
        assert (watch.current, user.lost) == (True, 0)
        await asyncio.wait_for(user.gone.wait(), 5.0)  # the ready-made replies go as well
        assert bound - 0.02 < boot_clock() - began < bound + 0.1
        await asyncio.sleep(bound / 4)  # the margin
        assert (watch.current, watch.readable, readings) == (False, True, 2)
        task.cancel()

    asyncio.run(asyncio.wait_for(play(), 10.0))
