"""Commits that are written, flushed, decoded and not visible: they wait for a synchronous standby that is dead.

Whoever evicts when a commit is decoded refills the cache with the old row, which is right for as long as the commit
waits, and keeps it when it has become visible: for ever.
"""

from threading import Thread

from tests.chaos import tables
from tests.chaos.fault import Fault, Scene
from tests.chaos.history import now
from tests.chaos.stack import Stack
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
