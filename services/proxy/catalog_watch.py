"""Keeps the worker's catalog true: polls a cheap stamp, and reads the catalog again when it changed.

A session that itself ran DDL asks for a reading and is forwarded until one that began after its statement has finished
(hazard H45). Where an event trigger tells of DDL, the feed says so ahead of the watermark that covers it, and then
every session is forwarded until a reading that began after that has finished (ADR 11).

What nobody tells of is bounded by this worker's own clock, as freshness is. Readings follow one another so that each
has usually ended an interval after the one before it began; one counts for three, from when it began. Where
none comes through (its connection hangs, or the primary is that busy), nothing is served until one has.
"""

import asyncio
from typing import Protocol

import asyncpg
import structlog

from services.proxy.cache.freshness import boot_clock
from services.proxy.control import CONTROL_ERRORS, ConnectControl
from services.proxy.sql.catalog import catalog_stamp, load_catalog
from services.proxy.sql.snapshot import Catalog
from services.shared.lsn import NO_LSN, parse_lsn
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.waiting import wait_at_most

_COUNTS_FOR = 3.0  # intervals: how long a reading counts, from when it began
_COUNTS_AT_LEAST_SECONDS = 2.0  # it waits for locks, and on a busy machine a short interval is over before it has ended
_MARGIN_SECONDS = 0.010  # grain and scheduling of the timer
_EARLIER = 0.8  # of an interval: when the next reading begins, so that it has usually ended by then
_SPACING_SECONDS = 0.05  # between two readings at the least, however many sessions ask; longer than the last one took

_INSERT_LSN = "SELECT pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text"

_log = structlog.get_logger()


class CatalogUser(Protocol):
    """Who rests on the catalog."""

    def catalog_reading_begins(self) -> None:
        """What was done before this moment was done on a catalog that this reading may confirm."""

    def catalog_unchanged(self) -> None:
        """The reading found the catalog as it was."""

    async def catalog_changed(self, catalog: Catalog) -> None:
        """The reading found another catalog."""

    def catalog_lost(self) -> None:
        """The catalog cannot be read any more."""


class CatalogWatch:
    """Reads the catalog for one worker and cache.

    Attributes:
        completed: Number of the newest reading that is in force.
        readable: False while the catalog cannot be read.
        current: False also while it is known to have changed since the last reading, or that is too old; then nothing
            is served or kept.
        changed_by: An insert LSN behind the last change that was read: a standby has to be beyond it.
        looked_at: Boot-clock second at which the reading that is in force began; it has seen what was done before.
    """

    def __init__(self, connect: ConnectControl, publication: str, interval: float, user: CatalogUser) -> None:
        """Prepare.

        Args:
            connect: Opens the connection.
            publication: Whose entries count.
            interval: Seconds in which what others changed is usually seen; three times as many, or 2, are the most.
            user: Who is told.
        """
        self._connect = connect
        self._publication = publication
        self._interval = interval
        self._bound = max(_COUNTS_FOR * interval, _COUNTS_AT_LEAST_SECONDS) - _MARGIN_SECONDS
        self._expires_at = 0.0  # boot-clock second
        self._expiry: asyncio.TimerHandle | None = None
        self._user = user
        self._asked = asyncio.Event()
        self._first = asyncio.Event()
        self._started = 0
        self._doubted_before = 0  # number of the first reading that began after the last doubt
        self.completed = 0
        self.readable = False
        self.changed_by = NO_LSN
        self.looked_at = 0.0

    @property
    def current(self) -> bool:
        """See the class."""
        return self.readable and self.undoubted and boot_clock() < self._expires_at

    @property
    def undoubted(self) -> bool:
        """Whether nothing is known to have changed since the last reading, though it may be impossible to look now."""
        return bool(self.completed) and self.completed >= self._doubted_before

    def ask(self) -> int:
        """Read at once; returns the number of the first reading that begins after this moment."""
        self._asked.set()
        return self._started + 1

    def doubt(self) -> None:
        """The catalog has changed, or may have: nothing may rest on it until it has been read again."""
        self._doubted_before = self.ask()
        self._user.catalog_lost()

    async def wait_for_first(self, seconds: float) -> None:
        """Return once the catalog has been read, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._first.wait()
        except TimeoutError:
            _log.warning("the catalog could not be read so far; nothing is cached until it is")

    async def run(self) -> None:
        """Watch for ever. Cancel-safe: yes."""
        backoff = Backoff(first=0.1, most=2.0)
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await self._connect("catalog")
                await self._watch(connection, backoff)
            except CONTROL_ERRORS as error:
                _log.debug("catalog connection failed", error=repr(error))
            finally:
                self.readable = False
                self._cancel_expiry()
                self._user.catalog_lost()
                if connection is not None:
                    connection.terminate()
            await backoff.wait()

    async def _watch(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        stamp = ""
        while True:
            self._asked.clear()
            self._started += 1
            reading, began_at = self._started, boot_clock()
            self._user.catalog_reading_begins()
            pause = _EARLIER * self._interval
            found = await catalog_stamp(connection, self._publication)
            if found != stamp:
                catalog = await load_catalog(connection, self._publication)
                self.changed_by = parse_lsn(await connection.fetchval(_INSERT_LSN))
                await self._user.catalog_changed(catalog)
                stamp = found if catalog.complete else ""
                if not catalog.complete:  # it is read anew each time, and all that rests on it is made anew
                    pause = self._interval + 2 * (boot_clock() - began_at)
            else:
                self._user.catalog_unchanged()
            self.completed = reading
            self.readable = True
            self.looked_at = began_at
            self._expire_at(began_at + self._bound)
            self._first.set()
            backoff.reset()
            await asyncio.sleep(max(min(_SPACING_SECONDS, self._interval / 4), boot_clock() - began_at))
            await wait_at_most(self._asked, max(0.0, began_at + pause - boot_clock()))

    def _expire_at(self, moment: float) -> None:
        """Let the reading that has just ended count until then. The hot path does not ask, so it has to be told."""
        self._cancel_expiry()
        self._expires_at = moment
        left = moment - boot_clock()
        if left <= 0:
            _log.warning("a look at the catalog takes too long for catalog_poll: nothing is served from the cache")
        self._expiry = asyncio.get_running_loop().call_later(max(0.0, left), self._user.catalog_lost)

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
