"""Asks the primary how far it is: the worker's own clock for freshness. Consistency contract, section 3.

A probe goes out every tenth of the bound while there are reads, at once after an acknowledged write, and not at all
when nobody has read for a while (with `serve_stale_for`: every tenth of that). It also finds out whether Postgres is
down: see `outage`. Whatever makes the connection doubtful drops every probe: nothing is served until a
later one, on a connection that shows the followed history, is covered.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import asyncpg
import structlog

from services.proxy.cache.follower import Follower
from services.proxy.cache.freshness import Freshness, Probe, boot_clock, lasting
from services.proxy.cache.outage import Outage, Phase
from services.proxy.control import CONTROL_ERRORS, ConnectControl, shows_outage
from services.shared.lsn import Lsn, parse_lsn
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.pace import Pace
from services.shared.runtime.waiting import wait_at_most

_QUIET_SECONDS = 5.0  # without a read for so long, probing stops: an idle cache costs the primary nothing
_LONGEST_WAIT_SECONDS = 10.0  # for an answer: sessions may have a bound far below the cache's
_FASTEST_SECONDS = 0.005  # between probes of a bound tighter than the cache's
_LEAST_SPACING_SECONDS = 0.002
_MOST_SPACING_SECONDS = 0.020
_WAITED_SHARE = 1 / 64
"""Probes asked for by writes are coalesced to one in a time between these; see `Pace`."""

_CLOSE_SECONDS = 1.0
_STATEMENT = """
SELECT pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text,
       (SELECT c.canary FROM tidegate.canary c WHERE c.cache OPERATOR(pg_catalog.=) $1),
       pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8)
"""
_IDENTITY = """
SELECT (pg_catalog.pg_control_system()).system_identifier::pg_catalog.text,
       (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
"""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProbeTiming:
    """When to probe.

    Attributes:
        max_staleness: The bound, in seconds.
        reads: How many reads were answered so far: the hot path tells nobody of them, it counts them.
    """

    max_staleness: float
    reads: Callable[[], int]


class Prober:
    """The probe connection of one worker and cache.

    Attributes:
        mismatches: Probes whose connection did not show the followed history.
    """

    def __init__(
        self,
        connect: ConnectControl,
        cache: str,
        follower: Follower,
        freshness: Freshness,
        outage: Outage,
        timing: ProbeTiming,
    ) -> None:
        self._connect = connect
        self._cache = cache
        self._follower = follower
        self._freshness = freshness
        self._outage = outage
        self._interval = min(timing.max_staleness / 10, outage.proof_spacing or inf)
        self._asked = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sleeps = False  # until it is asked, however long that takes
        self._last_read = boot_clock()
        self._pace = Pace(_LEAST_SPACING_SECONDS, _MOST_SPACING_SECONDS, _WAITED_SHARE)
        self._reads = timing.reads
        self._reads_seen = 0
        self._tight, self._tight_at = self._interval, 0.0  # where somebody has asked for a tighter bound, and when
        self.mismatches = 0

    def ask(self) -> None:
        """Send a probe at once: a write was acknowledged."""
        self._asked.set()

    def ask_urgently(self) -> None:
        """Send a probe as soon as the one before it is answered: a read waits for it."""
        self._last_read = boot_clock()
        self._urgent.set()
        self._asked.set()

    def note_bound(self, max_staleness: float) -> None:
        """Somebody reads under this bound, which may be tighter than the cache's: probes have to keep pace with it."""
        if lasting(max_staleness) <= 0:
            return  # no proof is young enough for it
        interval = max(max_staleness / 10, _FASTEST_SECONDS)
        if interval < self._current_interval():
            self._tight = interval
            self._asked.set()
        if interval <= self._tight:
            self._tight_at = boot_clock()

    def note_read(self) -> None:
        """A read wanted to know: keep probing, and start again after a quiet time."""
        if self._sleeps and not self._freshness.is_fresh():
            self._asked.set()
        self._last_read = boot_clock()

    async def run(self) -> None:
        """Probe for ever, over as many connections as it takes. Cancel-safe: yes."""
        backoff = Backoff(first=0.05, most=1.0)
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await self._connect("probe")
                self._outage.reached()
                identity = await connection.fetchrow(_IDENTITY)
                assert identity is not None
                await self._probe_until_it_fails(connection, (identity[0], identity[1]), backoff)
            except CONTROL_ERRORS as error:
                _log.debug("probe connection failed", error=repr(error))
                self._note_failure(error, had_connection=connection is not None)
            finally:
                self._freshness.lose()
                if connection is not None:
                    connection.terminate()
            await backoff.wait()

    async def _probe_until_it_fails(
        self, connection: asyncpg.Connection, identity: tuple[str, int], backoff: Backoff
    ) -> None:
        statement = await connection.prepare(_STATEMENT)
        while True:
            probe, heard_of = self._freshness.send(), self._freshness.watermark
            # A primary that hangs must not keep the answer of its wake-up: the bound has passed long since.
            row = await statement.fetchrow(
                self._cache, timeout=min(max(1.0, 10 * self._interval), _LONGEST_WAIT_SECONDS)
            )
            assert row is not None
            self._pace.note(boot_clock() - probe.sent_at)
            lsn, canary, timeline = parse_lsn(row[0]), row[1] or "", row[2]
            self._take(probe, lsn, identity, timeline, canary, heard_of)
            self._outage.probe_answered(probe.sent_at)
            if self._outage.phase is Phase.SUSPECTED:
                await self._try_another()
            backoff.reset()
            await self._wait_for_next()

    async def _try_another(self) -> None:
        """A session has lost its connection, and this one answers: does Postgres take new ones?"""
        try:
            await (await self._connect("probe")).close(timeout=_CLOSE_SECONDS)
        except CONTROL_ERRORS as error:
            if shows_outage(error):
                return  # this one will be lost too, or Postgres waits for those that there are
        self._outage.reached()

    def _note_failure(self, error: Exception, *, had_connection: bool) -> None:
        if had_connection:
            self._outage.probe_lost()
        elif shows_outage(error):
            self._outage.unreachable()
        else:
            self._outage.reached()

    def _take(
        self, probe: Probe, lsn: Lsn, identity: tuple[str, int], timeline: str, canary: str, heard_of: Lsn
    ) -> None:
        """Take an answer if it is of the followed history.

        A watermark that was there before the probe was sent came of an insert LSN of then, and is at most one more. So
        a primary that is now below it has gone back: it runs on an older copy of its data, with the same canary (H36).
        """
        stream = self._follower.stream
        if stream is None or not self._follower.epoch:
            return  # nothing is followed yet: the answer would prove nothing
        same = (stream.system, stream.database) == identity and self._follower.matches(timeline, canary)
        if not same or lsn + 1 < heard_of:
            self.mismatches += 1
            self._freshness.drop()
            return
        self._freshness.answer(probe, lsn)

    async def _wait_for_next(self) -> None:
        distance = min(self._pace.spacing, self._current_interval())
        await wait_at_most(self._urgent, distance)
        self._urgent.clear()
        reads = self._reads()
        if reads != self._reads_seen:
            self._reads_seen = reads
            self._last_read = boot_clock()
        if self._outage.phase is Phase.SUSPECTED:
            return
        self._sleeps = boot_clock() - self._last_read > _QUIET_SECONDS
        spacing = self._outage.proof_spacing if self._sleeps else self._current_interval() - distance
        await wait_at_most(self._asked, spacing)
        self._sleeps = False
        self._asked.clear()

    def _current_interval(self) -> float:
        return self._tight if boot_clock() - self._tight_at < _QUIET_SECONDS else self._interval
