"""Services with a deliberate fault, to see that the suite finds it: a suite that passes a broken cache proves nothing.

    python -m tests.chaos.broken no_gate cdc      `tidegate cdc`, with that fault

A fault is a change of some function of ours before the service runs. There are no switches for them in the services.
"""

import datetime as dt
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha1
from typing import Any

from services import cli
from services.cdc import incarnation as incarnation_steps
from services.cdc import relay
from services.cdc.beginning import LogEnd
from services.cdc.control import ControlConnection
from services.cdc.gate import Snapshot
from services.cdc.publisher import Publisher
from services.cdc.transactions import Transaction
from services.cdc.watermark import WatermarkValue
from services.cdc.watermark import watermark_at as real_watermark_at
from services.invalidator.consumer import Consumer
from services.invalidator.evictor import Accepted, Evictor
from services.invalidator.planner import Plan
from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.flights import Flight, FlightKey, Flights
from services.proxy.cache.follower import Follower
from services.proxy.cache.freshness import Freshness
from services.proxy.cache.recent import RecentEvictions
from services.proxy.cached_database import CachedDatabase
from services.proxy.reasons import Reason
from services.proxy.session.lookup import Lookup
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Plan as ReadPlan
from services.proxy.session.state import SessionState
from services.shared.epoch import StreamEpoch
from services.shared.keyspace import runner
from services.shared.keyspace.feed import FeedItem
from services.shared.keyspace.outcome import Outcome
from services.shared.keyspace.script_sources import Script
from services.shared.keyspace.scripts import Registry
from services.shared.keyspace.steps import Advance, Evict, MoveWatermark, Step
from services.shared.lsn import Lsn
from services.shared.position import START, Position

_DROP_EVERY = 50
_HOUR_SECONDS = 3600
_BEHIND_SECONDS = 2.5
_NOTHING = Plan(())
_KEEP_CANARY = """
    INSERT INTO tidegate.canary (cache, canary, incarnation) VALUES ($1, $2, '0/0') ON CONFLICT (cache) DO NOTHING
"""

Positions = tuple[Position, ...]


def no_gate() -> None:
    """Publish a commit when it is decoded, visible or not: evict on event."""

    def shows(self: Snapshot, xid: int) -> bool:
        return True

    Snapshot.shows = shows  # type: ignore[method-assign]


def watermark_first() -> None:
    """Send watermarks before the changes that they promise: seconds before, so that the bound is broken by it."""
    real_publish, real_watermark = Publisher.publish, Publisher.watermark
    waiting: deque[tuple[float, Transaction, int]] = deque()

    def publish(self: Publisher, transaction: Transaction, xid: int) -> None:
        waiting.append((time.monotonic() + _BEHIND_SECONDS, transaction, xid))

    def watermark(self: Publisher, value: WatermarkValue) -> None:
        real_watermark(self, value)
        while waiting and waiting[0][0] <= time.monotonic():
            _, transaction, xid = waiting.popleft()
            real_publish(self, transaction, xid)

    Publisher.publish = publish  # type: ignore[method-assign]
    Publisher.watermark = watermark  # type: ignore[method-assign]


def drops_evictions() -> None:
    """Lose one eviction in fifty."""
    real, numbers = Evictor._plan, itertools.count(1)

    def plan(self: Evictor, event: object) -> Plan:
        return _NOTHING if next(numbers) % _DROP_EVERY == 0 else real(self, event)  # type: ignore[arg-type]

    Evictor._plan = plan  # type: ignore[method-assign]


def no_evictions() -> None:
    """Evict nothing: with a short `max_entry_age` what remains is a plain cache with a time to live."""

    def plan(self: Evictor, event: object) -> Plan:
        return _NOTHING

    Evictor._plan = plan  # type: ignore[method-assign]


def trusts_for_ever() -> None:
    """Call the cache fresh for ever once it was, whatever has become of the stream."""
    real = Freshness._settle

    def settle(self: Freshness) -> None:
        real(self)
        self.deadline = float("inf") if self.covered else self.deadline

    Freshness._settle = settle  # type: ignore[method-assign]


def unchecked_fills() -> None:
    """Keep every answer, though what it depends on was evicted while its query was under way."""

    def refuses(*arguments: object) -> str:
        return ""

    RecentEvictions.refuses = refuses  # type: ignore[method-assign,assignment]


def no_tokens() -> None:
    """Forget what a session has written."""

    def covered(*arguments: object) -> bool:
        return True

    OwnWrites.covered = covered  # type: ignore[method-assign,assignment]


def covers_held() -> None:
    """Cover a probe at the end of the WAL although a commit below it is held back."""

    def watermark_at(insert_lsn: Lsn, held: Iterable[Transaction]) -> WatermarkValue:
        return real_watermark_at(insert_lsn, held)._replace(watermark=Lsn(insert_lsn + 1))

    relay.watermark_at = watermark_at  # type: ignore[attr-defined]


def late_positions() -> None:
    """Keep an answer as of where the worker stands when it arrives, not as of when it was asked for."""
    real = CachedDatabase.keep

    def keep(self: CachedDatabase, plan: ReadPlan, answer: Answer, q0: Positions, *rest: Any) -> None:
        real(self, plan, answer, self.follower.positions, *rest)

    CachedDatabase.keep = keep  # type: ignore[method-assign,assignment]


def ignores_feed_gaps() -> None:
    """Take every item of the feed for the one that follows."""
    real = Follower._apply

    async def apply(self: Follower, item: FeedItem) -> None:
        await real(self, replace(item, prev=self.positions[item.partition]))

    Follower._apply = apply  # type: ignore[method-assign]


def no_floor() -> None:
    """Forget, with the evictions, that one has forgotten them: take answers from before everything was dropped.

    Shapes are a second floor: they count from where the worker was when it learned of them. That has to go as well.
    """
    real, real_learn = RecentEvictions.reset, Follower._learn

    def reset(self: RecentEvictions, floor: Positions) -> None:
        real(self, (START,) * len(floor))

    def learn(self: Follower, registry: Registry) -> None:
        positions, self.positions = self.positions, (START,) * len(self.positions)
        real_learn(self, registry)
        self.positions = positions

    RecentEvictions.reset = reset  # type: ignore[method-assign]
    Follower._learn = learn  # type: ignore[method-assign]


def place_first() -> None:
    """Store how far the log is read before the effect: what is evicted goes with the next batch of records."""
    real_step, real_apply = Evictor._step, Evictor.apply
    fresh, waiting = deque[Evict](), deque[Evict]()

    def step(self: Evictor, record: Accepted) -> Step:
        taken = real_step(self, record)
        if isinstance(taken, Evict) and taken.tags:
            fresh.append(taken)
            return Advance(taken.at)
        if isinstance(taken, MoveWatermark) and waiting:
            tags = tuple({tag for each in waiting for tag in each.tags})
            late = replace(waiting[-1], at=taken.at, registry_version=self._shapes.version, tags=tags)
            waiting.clear()
            return late
        return taken

    async def apply(self: Evictor, accepted: Sequence[Accepted]) -> Outcome:
        waiting.extend(fresh)
        fresh.clear()
        return await real_apply(self, accepted)

    Evictor._step = step  # type: ignore[method-assign]
    Evictor.apply = apply  # type: ignore[method-assign]


def no_barrier() -> None:
    """Send watermarks from the first moment on, whoever's commit was missed."""

    async def pass_barrier(self: relay.Relay) -> None:
        await self._step()

    relay.Relay.pass_barrier = pass_barrier  # type: ignore[method-assign]


def resumes_by_watermark() -> None:
    """Accept a RESUME by what was visible, not by what was settled."""
    real = runner.load_script  # type: ignore[attr-defined]

    def load(name: str) -> Script:
        source = real(name).source.replace("redis.call('HGET', META, 'c')", "redis.call('HGET', META, 'w')")
        return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())

    async def settled(self: Consumer, partition: int) -> Lsn:
        return (await self._bucket.state()).watermarks[partition]

    runner.load_script = load  # type: ignore[attr-defined,assignment]
    Consumer._settled = settled  # type: ignore[method-assign]


def ignores_registry() -> None:
    """Believe that every shape is matched that ever was."""

    async def check_registry(self: Follower, item: FeedItem) -> None:
        return

    Follower._check_registry = check_registry  # type: ignore[method-assign]


def joins_any_flight() -> None:
    """Join whatever query is under way, though it was sent before the session's own write."""
    real = Flights.joinable

    def joinable(self: Flights, key: FlightKey, last_write: int, sent_after: float) -> Flight | None:
        return real(self, key, 0, sent_after)

    Flights.joinable = joinable  # type: ignore[method-assign]


def strong_looks_first() -> None:
    """Look a strong read up, and wait for the proof with the answer in the hand."""

    async def strongly(
        self: Lookup, plan: ReadPlan, state: SessionState | None, number: int
    ) -> tuple[Entry | None, str]:
        entry = self._database.l1.get(plan.key)
        if entry is None:
            return None, ""
        reached = await self._database.coverage.reach(number, self._database.settings.strong_wait)
        return (entry, "") if reached else (None, Reason.STRONG_WAIT)

    Lookup._strongly = strongly  # type: ignore[method-assign]


def no_canary() -> None:
    """Take a database that has recovered from a crash for the one that it was."""
    always = "0123456789abcdef"

    async def read_canary(control: ControlConnection, cache: str) -> str:
        await control.fetch(_KEEP_CANARY, cache, always)
        return always

    async def renew_canary(control: ControlConnection, cache: str) -> str:
        return await read_canary(control, cache)

    def reason_for_new_epoch(end: LogEnd, now: StreamEpoch, incarnation: Lsn, **found: object) -> str:
        return "" if end.epoch == now else "it is another history"

    incarnation_steps.read_canary = read_canary  # type: ignore[attr-defined]
    incarnation_steps.renew_canary = renew_canary  # type: ignore[attr-defined]
    incarnation_steps.reason_for_new_epoch = reason_for_new_epoch  # type: ignore[attr-defined]


def wall_clock_jumps() -> None:
    """Be an hour ahead and an hour behind in turn, by the wall clock. Not a fault of ours: it must not matter."""
    real_time, real_time_ns, real_datetime = time.time, time.time_ns, dt.datetime

    def offset() -> int:
        return _HOUR_SECONDS if int(real_time()) % 2 else -_HOUR_SECONDS

    class Jumping(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> "Jumping":
            moved = real_datetime.now(tz) + dt.timedelta(seconds=offset())
            return cls.combine(moved.date(), moved.timetz())

    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: real_time_ns() + offset() * 1_000_000_000
    dt.datetime = Jumping  # type: ignore[misc]
    for name, module in list(sys.modules.items()):
        if name.startswith(("services.", "schemas.")):
            for attribute, value in list(vars(module).items()):
                if value is real_datetime:
                    setattr(module, attribute, Jumping)
                elif value is real_time:
                    setattr(module, attribute, time.time)


FAULTS: dict[str, Callable[[], None]] = {
    fault.__name__: fault
    for fault in (
        no_gate,
        watermark_first,
        drops_evictions,
        no_evictions,
        trusts_for_ever,
        unchecked_fills,
        no_tokens,
        covers_held,
        late_positions,
        ignores_feed_gaps,
        no_floor,
        place_first,
        no_barrier,
        resumes_by_watermark,
        ignores_registry,
        joins_any_flight,
        strong_looks_first,
        no_canary,
        wall_clock_jumps,
    )
}


def main() -> None:
    """Break what the first argument names, and be `tidegate` with the rest."""
    FAULTS[sys.argv.pop(1)]()
    cli.main()


if __name__ == "__main__":
    main()
