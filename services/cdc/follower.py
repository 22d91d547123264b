"""Keeps the publication and the list of followed relations in step with the catalog.

Once a second or two, and when a transaction says that it changed it, the catalog is read; `following.py` decides; here
it is done. A table that has just joined the
publication is not followed at once, because what open transactions wrote to it before will never be streamed (H11): an
id is taken, every older transaction has to end, and then a watermark has to cover what was inserted until then.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.cdc.canary import forget_followed, recall_followed, recall_let_go, remember_followed
from services.cdc.catalog import read_tables
from services.cdc.control import ControlConnection
from services.cdc.following import Followed, FollowingPlan, plan_following
from services.cdc.publication import add_tables, drop_tables, find_publication
from services.cdc.publisher import Publisher
from services.cdc.relay import Relay
from services.cdc.replication.errors import SlotUnusableError
from services.cdc.statistics import CdcStatistics
from services.cdc.tables import Table, ancestors_of
from services.shared.lsn import Lsn
from services.shared.runtime.logging import get_logger
from services.shared.runtime.settings import CacheSettings
from services.shared.runtime.waiting import wait_at_most

LONGEST_POLL_SECONDS = 2.0
"""How long a table that lost its identity may stay published: its UPDATEs fail in the application meanwhile (H44)."""

JOINING_POLL_SECONDS = 0.05
"""How often to look whether a table may be followed, while one waits for that."""

SPACING_SECONDS = 0.05
"""At least this long between two looks, however often the catalog is said to have changed."""

ANNOUNCE_SECONDS = 10.0
"""How often everything followed is described again: the log forgets old records, and a reader may begin at any time."""

RETRY_SECONDS = 60.0
"""How long to leave a table alone that Postgres refused to add or to drop: it writes an error to its log every time."""

RETRY_SOON_SECONDS = 2.0
"""The same where somebody was only in the way: had the table locked, say."""

_NAMED_TABLES = 20  # in one line of the log

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Joining:
    """A table on its way from joining the publication to being followed.

    Attributes:
        entry: OID of its row in pg_publication_rel.
        barrier: Transaction id; every transaction below has to end.
        covered_from: Insert LSN that a watermark has to cover; None until the barrier is passed.
    """

    entry: int
    barrier: int
    covered_from: Lsn | None = None


class Follower:
    """Follows the catalog for one incarnation, over a connection of its own."""

    def __init__(
        self,
        control: ControlConnection,
        cache: CacheSettings,
        publisher: Publisher,
        relay: Relay,
        statistics: CdcStatistics,
    ) -> None:
        self._control = control
        self._cache = cache
        self._publisher = publisher
        self._relay = relay
        self._statistics = statistics
        self._followed: dict[int, Followed] = {}
        self._tables: dict[int, Table] = {}  # the followed ones, as described last
        self._joining: dict[int, _Joining] = {}
        self._removed: frozenset[int] = frozenset()
        self._retry_at: dict[int, float] = {}  # tables that Postgres has refused to add or drop
        self._left_out: dict[str, str] = {}
        self._announced_at = time.monotonic()

    async def prepare(self) -> FollowingPlan:
        """Before the birth barrier: publish what can be, and say what is no longer followed.

        Returns:
            What the catalog shows now, for `begin`.
        """
        self._followed = {known.relation: known for known in await recall_followed(self._control, self._cache.name)}
        plan = await self._look()
        await self._unfollow(plan)
        return await self._look() if plan.add else plan

    async def begin(self, plan: FollowingPlan, *, barrier_passed: bool) -> None:
        """Before the first watermark: describe what is followed.

        Args:
            plan: What `prepare` returned.
            barrier_passed: Whether the birth barrier stands between then and now. Otherwise only what was followed
                before is followed still; the others have to join.
        """
        await self._redescribe(plan.redescribe)
        await self._follow([*plan.keep, *plan.join] if barrier_passed else plan.keep)

    async def run(self) -> None:
        """Keep in step until something fails.

        Raises:
            ControlError: The connection is gone.
            SlotUnusableError: The publication is gone.
        """
        period = min(self._cache.catalog_poll, LONGEST_POLL_SECONDS)
        while True:
            self._relay.catalog_changed.clear()
            plan = await self._look()
            await self._unfollow(plan)
            await self._redescribe(plan.redescribe)
            await self._follow(plan.follow)
            joined = await self._join(plan.join)
            if time.monotonic() >= self._announced_at + ANNOUNCE_SECONDS:
                self._announced_at = time.monotonic()
                self._announce(self._tables.values())
            soon = joined or self._joining or plan.add
            await self._pause(JOINING_POLL_SECONDS if soon else period)

    async def _pause(self, seconds: float) -> None:
        """Wait that long, or until something happens to the catalog; a script full of DDL is read in a few looks."""
        await asyncio.sleep(min(SPACING_SECONDS, seconds))
        await wait_at_most(self._relay.catalog_changed, seconds)

    async def _look(self) -> FollowingPlan:
        """Read the catalog, decide, and do to the publication what is to be done."""
        name = self._cache.publication
        publication = await find_publication(self._control, name)
        if publication is None:
            raise SlotUnusableError(f"publication {name} is gone")
        tables = await read_tables(self._control, name)
        self._publisher.tell_ancestors(ancestors_of(tables, self._tables.values()))
        let_go = await recall_let_go(self._control, self._cache.name)
        plan = plan_following(tables, publication, self._followed, self._removed, let_go)
        refused = await add_tables(self._control, name, self._due(plan.add))
        refused += await drop_tables(self._control, name, self._due(plan.drop))
        for one in refused:
            wait = RETRY_SOON_SECONDS if one.may_soon_succeed else RETRY_SECONDS
            _log.warning("publication cannot be changed", table=str(one.table), error=one.error, retry_seconds=wait)
            self._retry_at[one.table.oid] = time.monotonic() + wait
        self._report(plan)
        return replace(plan, add=self._due(plan.add))

    def _due(self, tables: Iterable[Table]) -> list[Table]:
        """Leave out the tables that Postgres has refused lately."""
        now = time.monotonic()
        return [table for table in tables if self._retry_at.get(table.oid, now) <= now]

    async def _unfollow(self, plan: FollowingPlan) -> None:
        """Say what is no longer followed, and forget it once the log knows."""
        if not plan.unfollow:
            return
        insert_lsn = await self._control.insert_lsn()
        acknowledged = [self._publisher.catalog_change(gone, "unfollowed", insert_lsn) for gone in plan.unfollow]
        for gone in plan.unfollow:
            _log.info("table is no longer followed", table=f"{gone.schema}.{gone.table}")
            self._followed.pop(gone.relation, None)
            self._tables.pop(gone.relation, None)
        self._removed |= plan.removed
        await asyncio.gather(*acknowledged)
        await forget_followed(self._control, self._cache.name, [gone.relation for gone in plan.unfollow])

    async def _redescribe(self, tables: list[Table]) -> None:
        """Describe followed relations again whose definition has changed."""
        if not tables:
            return
        insert_lsn = await self._control.insert_lsn()
        for table in tables:
            self._publisher.catalog_change(self._followed[table.oid], "ddl", insert_lsn)
        await self._follow(tables)

    async def _join(self, tables: list[Table]) -> bool:
        """Move tables that have joined the publication towards being followed; tell whether one is now."""
        known = self._joining
        self._joining = {t.oid: known[t.oid] for t in tables if t.oid in known and known[t.oid].entry == t.entry}
        if not tables:
            return False
        new = [table for table in tables if table.oid not in self._joining]
        if new:
            barrier = await self._control.assign_xid()
            self._joining |= {table.oid: _Joining(table.entry or 0, barrier) for table in new}
        snapshot = await self._control.snapshot()
        insert_lsn = await self._control.insert_lsn()
        for oid, joining in self._joining.items():
            if joining.covered_from is None and snapshot.xmin >= joining.barrier:
                self._joining[oid] = replace(joining, covered_from=insert_lsn)
        ready = [table for table in tables if self._is_ready(self._joining[table.oid])]
        for table in ready:
            del self._joining[table.oid]
        await self._follow(ready)
        return bool(ready)

    def _is_ready(self, joining: _Joining) -> bool:
        return joining.covered_from is not None and self._relay.covers(joining.covered_from)

    async def _follow(self, tables: Iterable[Table]) -> None:
        """Describe relations, which are followed from there on; remember them first."""
        described = list(tables)
        if not described:
            return
        known = [Followed(t.oid, t.entry or 0, t.fingerprint, t.schema, t.name) for t in described]
        await remember_followed(self._control, self._cache.name, known)
        self._announce(described)
        self._followed |= {followed.relation: followed for followed in known}
        self._tables |= {table.oid: table for table in described}
        self._removed -= self._followed.keys()
        self._statistics.followed = len(self._followed)

    def _announce(self, tables: Iterable[Table]) -> None:
        for table in tables:
            self._publisher.follow(table)

    def _report(self, plan: FollowingPlan) -> None:
        """Name the tables that are left out, when they become others."""
        left_out = {name: str(reason) for name, reason in plan.left_out.items()}
        if left_out != self._left_out:
            named = dict(list(left_out.items())[:_NAMED_TABLES])
            _log.info("tables are left out of the cache", count=len(left_out), tables=named)
        self._left_out = left_out
        self._statistics.left_out = len(left_out)
        self._statistics.followed = len(self._followed)
