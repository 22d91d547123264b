"""Keeps the worker's catalog true: polls a cheap stamp, and reads the catalog again when it changed.

A session that itself ran DDL asks for a reading and is forwarded until one that began after its statement has finished
(hazard H45).
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from services.proxy.control import ConnectControl
from services.proxy.sql.catalog import catalog_stamp, load_catalog
from services.proxy.sql.snapshot import Catalog
from services.shared.runtime.backoff import Backoff

_log = structlog.get_logger()


class CatalogWatch:
    """Reads the catalog for one worker and cache.

    Attributes:
        completed: Number of the newest reading that is in force.
        current: False while the catalog cannot be read: then nothing new is cached.
    """

    def __init__(
        self,
        connect: ConnectControl,
        publication: str,
        interval: float,
        adopt: Callable[[Catalog], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            connect: Opens the connection.
            publication: Whose entries count.
            interval: Seconds between two looks at the stamp.
            adopt: Takes each new catalog.
            lost: Called when the catalog cannot be read any more.
        """
        self._connect = connect
        self._publication = publication
        self._interval = interval
        self._adopt = adopt
        self._lost = lost
        self._asked = asyncio.Event()
        self._started = 0
        self.completed = 0
        self.current = False

    def ask(self) -> int:
        """Read at once; returns the number of the first reading that begins after this moment."""
        self._asked.set()
        return self._started + 1

    async def run(self) -> None:
        """Watch for ever. Cancel-safe: yes."""
        backoff = Backoff(first=0.1, most=2.0)
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await self._connect("catalog")
                await self._watch(connection, backoff)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.debug("catalog connection failed", error=repr(error))
            finally:
                self.current = False
                self._lost()
                if connection is not None:
                    connection.terminate()
            await backoff.wait()

    async def _watch(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        stamp = ""
        while True:
            self._asked.clear()
            self._started += 1
            reading = self._started
            found = await catalog_stamp(connection, self._publication)
            if found != stamp:
                catalog = await load_catalog(connection, self._publication)
                await self._adopt(catalog)
                stamp = found
            self.completed = reading
            self.current = True
            backoff.reset()
            try:
                async with asyncio.timeout(self._interval):
                    await self._asked.wait()
            except TimeoutError:
                pass
