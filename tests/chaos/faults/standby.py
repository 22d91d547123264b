"""Commits that are written, flushed, decoded and not visible: they wait for a synchronous standby that is dead.

Whoever evicts when a commit is decoded refills the cache with the old row, which is right for as long as the commit
waits, and keeps it when it has become visible: for ever.
"""

from dataclasses import replace
from threading import Thread

import psycopg

from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import now
from tests.chaos.stack import SLOT, Plan, Stack
from tests.chaos.workload import Load
from tests.servers.processes import wait_until

_ROUNDS = 2
_HOLD_SECONDS = 3.0  # long enough for every item to be read, and kept, again
_AGED_SECONDS = 1.3  # by then the bound has passed: whatever is served is proven fresh while commits wait
_BEFORE_SECONDS = 1.5
_HELD_AT_ONCE = 24
_LEAST_RATIO = 0.5
"""Of the hits before: while commits wait, the cache goes on serving what is right. (Where nothing is proven fresh the
ratio is 0.)"""

_FAR_SECONDS = 0.02  # to the primary, in each direction
_READS_SECONDS = 0.2
_RELOADED_SECONDS = 0.3  # the checkpointer tells the backends a little later than the settings show it
_EPOCHS = "tidegate_invalidator_epochs_total"
_WATERMARK = "tidegate_invalidator_watermark_lsn"
_FREE = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND NOT active"
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_HELD_ITEMS = tables.ITEMS[len(tables.ITEMS) // 2 :]


class WaitingStandby(Fault):
    """Commits hang, are released, hang again; one writer does not wait for standbys, and goes on."""

    name = "synchronous standby dead, commits hang and are released"
    expected = "the old value is served, which is right; none is permanently stale; the hit ratio stays"
    load = Load(
        direct=1,
        proxied=0,
        settings="SET synchronous_commit = local",
        items=tables.ITEMS[: len(tables.ITEMS) // 2],
    )

    def strike(self, scene: Scene) -> None:
        """Hold commits back, read what they write, release them."""
        scene.let_pass(_BEFORE_SECONDS)
        before = scene.share(now() - _BEFORE_SECONDS, now()).hit_ratio
        scene.strike()
        ratios = []
        for number in range(_ROUNDS):
            first = number * _HELD_AT_ONCE % len(_HELD_ITEMS)
            items = [_HELD_ITEMS[(first + offset) % len(_HELD_ITEMS)] for offset in range(_HELD_AT_ONCE)]
            ratios.append(_hold(scene, items))
        scene.mend()
        scene.remarks.append(f"hit ratio {before:.0%} before, {min(ratios):.0%} while {_HELD_AT_ONCE} commits hang")
        assert min(ratios) >= _LEAST_RATIO * before, f"hits fell from {before:.0%} to {ratios} while commits hung"

    def clean(self, stack: Stack) -> None:
        """Wait for nobody any more, whatever has happened."""
        _set_standby(stack, "RESET synchronous_standby_names")


class EverybodyWaits(WaitingStandby):
    """The same when nobody writes without waiting: the end of the WAL stands still."""

    name = "synchronous standby dead, every commit hangs"
    load = Load(direct=2, proxied=1, items=tables.ITEMS[: len(tables.ITEMS) // 2])


class OwnWritesReleased(Fault):
    """Commits through the proxy hang, are released, and their sessions read at once what they wrote."""

    name = "commits through the proxy hang, are released, and read"
    expected = "no session misses its own write"
    load = Load(direct=0, proxied=0)
    plan = replace(Plan(), kafka=False)

    def strike(self, scene: Scene) -> None:
        """Hold, release, read; the CDC service is far from Postgres, and hears late that they are visible."""
        scene.strike()
        link = scene.stack.links["cdc-postgres"]
        link.slow(_FAR_SECONDS)
        try:
            for _ in range(_ROUNDS):
                _release_writers(scene)
        finally:
            link.mend()
        scene.mend()

    def clean(self, stack: Stack) -> None:
        """Wait for nobody any more, whatever has happened."""
        _set_standby(stack, "RESET synchronous_standby_names")


def _release_writers(scene: Scene) -> None:
    """Let sessions hang on a write each for a while, and read it again and again when it is through."""

    def write(item: int) -> None:
        session = scene.workload.new_session("waits")
        with psycopg.connect(scene.stack.proxied_url, autocommit=True) as connection:
            scene.workload.read(connection, tables.READ_ITEM, item, session)
            scene.workload.set_items(connection, [item], session)
            until = now() + _READS_SECONDS
            while now() < until:
                scene.workload.read(connection, tables.READ_ITEM, item, session)

    _set_standby(scene.stack, "SET synchronous_standby_names = 'nosuch'")
    try:
        scene.let_pass(_RELOADED_SECONDS)
        threads = [Thread(target=write, args=[item], daemon=True) for item in _HELD_ITEMS[:_HELD_AT_ONCE]]
        for thread in threads:
            thread.start()
        wait_until(lambda: _waiting(scene.stack) >= _HELD_AT_ONCE, "commits to hang", 20)
        scene.let_pass(_AGED_SECONDS)
    finally:
        _set_standby(scene.stack, "RESET synchronous_standby_names")
    for thread in threads:
        thread.join(30)


class SlotAdvancedPastHeld(Fault):
    """The slot is advanced beyond commits that nobody sees yet, by hand, while the CDC service is dead.

    They are never sent again; a watermark has promised more than where the slot goes on, and has settled less.
    """

    name = "slot advanced beyond commits that hang, while cdc is dead"
    expected = "RESUME lies beyond what is settled: a new epoch, and no watermark before the commits have ended"
    load = Load(direct=0, proxied=0)
    plan = replace(Plan(), kafka=False)

    def strike(self, scene: Scene) -> None:
        """Hold commits, have a watermark pass them, kill, advance, start, release."""
        stack, cdc = scene.stack, scene.stack.services["cdc"]
        _set_standby(stack, "SET synchronous_standby_names = 'nosuch'")
        threads: list[Thread] = []
        scene.strike()
        try:
            for item in _HELD_ITEMS[:_HELD_AT_ONCE]:
                threads += _hanging(scene, item)
            ((beyond,),) = stack.postgres.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
            passed = lambda: stack.services["invalidator"].metric(_WATERMARK) > beyond  # noqa: E731 - named for the wait
            wait_until(passed, "a watermark beyond the commits that hang", 20)
            cdc.kill()
            wait_until(lambda: stack.postgres.execute(_FREE), "the slot to be free")
            stack.postgres.execute(f"SELECT pg_replication_slot_advance('{SLOT}', '0/0'::pg_lsn + {beyond})")
            epochs = stack.services["invalidator"].metric(_EPOCHS)
            cdc.start()
            begun = lambda: self.any_epoch or stack.services["invalidator"].metric(_EPOCHS) > epochs  # noqa: E731 - named for the wait
            wait_until(begun, "a new epoch", 30)
            scene.let_pass(_HOLD_SECONDS)
        finally:
            _set_standby(stack, "RESET synchronous_standby_names")
        for thread in threads:
            thread.join(30)
        scene.mend()
        wait_services(stack)

    any_epoch = False


class SlotAdvancedUnnoticed(SlotAdvancedPastHeld):
    """The same for a cache that need not notice: its answers are judged."""

    any_epoch = True

    def clean(self, stack: Stack) -> None:
        """Wait for nobody any more, whatever has happened."""
        _set_standby(stack, "RESET synchronous_standby_names")


def _hold(scene: Scene, items: list[int]) -> float:
    """Write each item by a commit that hangs for a while; return the hit ratio meanwhile."""
    _set_standby(scene.stack, "SET synchronous_standby_names = 'nosuch'")
    threads = []
    try:
        for item in items:
            threads += _hanging(scene, item)
        begin = now()
        scene.let_pass(_HOLD_SECONDS)
        return scene.share(begin + _AGED_SECONDS, now()).hit_ratio
    finally:
        _set_standby(scene.stack, "RESET synchronous_standby_names")
        for thread in threads:
            thread.join(30)


def _hanging(scene: Scene, item: int) -> list[Thread]:
    """Commit a write that hangs. The checkpointer tells the backends a little later than the settings show it."""
    before, threads = _waiting(scene.stack), scene.workload.commit_each([item])

    def hangs() -> bool:
        if not threads[-1].is_alive():
            threads.extend(scene.workload.commit_each([item]))
        return _waiting(scene.stack) > before

    wait_until(hangs, "a commit to hang")
    return threads


def _waiting(stack: Stack) -> int:
    ((count,),) = stack.postgres.execute(_WAITING)
    return int(count)


def _set_standby(stack: Stack, what: str) -> None:
    stack.postgres.execute(f"ALTER SYSTEM {what}")
    stack.postgres.execute("SELECT pg_reload_conf()")
