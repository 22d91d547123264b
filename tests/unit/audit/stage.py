"""An auditor with a worker's memory, and nothing around it but what a test says."""

from types import SimpleNamespace
from typing import Any, cast

from services.proxy.audit.audited import Audited
from services.proxy.audit.auditor import Auditor, Shadow
from services.proxy.audit.quarantine import Quarantine
from services.proxy.cache.entry import Answer, Entry, Reply
from services.proxy.cache.freshness import Freshness, boot_clock
from services.proxy.cache.l1 import L1
from services.proxy.cache.outage import Phase
from services.proxy.session.planning import Plan
from services.proxy.session.templates import Templates
from services.proxy.statistics import ProxyStatistics
from services.proxy.worker.open_sessions import OpenSessions
from services.shared.lsn import Lsn
from services.shared.pgwire.frontend import Query
from services.shared.position import START, Position
from tests.unit.audit.answers import answer
from tests.unit.proxy.test_planning import READ, planned
from tests.unit.sql.small_catalog import USERS, small_catalog

TAG = f"{USERS.oid}:aa"
OLD, NEW = answer(b"old"), answer(b"new")


class Stage:
    """What an auditor sees; a sample is due.

    Attributes:
        auditor: It.
        entry: What the cache would answer to `plan`.
        context: The table of ready-made replies with one to `plan`.
    """

    def __init__(self, statement: bytes = READ, cached: Answer = OLD) -> None:
        self.l1 = L1(1 << 20, (START,))
        self.freshness = Freshness(60.0)
        self.outage = SimpleNamespace(phase=Phase.UP)
        self.follower = SimpleNamespace(positions=(Position(Lsn(100), 1),))
        self.prober = SimpleNamespace(ask=lambda: None)
        self.catalog_watch = SimpleNamespace(completed=3, ask=lambda: 4)
        self.templates = Templates()
        self.templates.use(small_catalog())
        self.sessions = OpenSessions("")
        self.statistics = ProxyStatistics()
        self.quarantine = Quarantine(self.l1.discard_template)
        self.auditor = Auditor(cast(Audited, self), 1.0, self.quarantine)
        self.auditor._due = self.auditor.watchful = True
        self.plan: Plan = planned(self.templates, Query(statement))
        self.entry = self.keep(cached)
        self.context: dict[bytes, Reply] = {}
        self.l1.remember_reply(self.entry, self.context, b"turn", Reply(self.entry, b"payload", None))
        self.cover()

    def keep(self, kept: Answer, at: Position = START) -> Entry:
        """Take an answer to the plan into L1."""
        assert self.plan.template is not None
        entry = Entry(self.plan.key, kept, (at,), (TAG,), (USERS.oid,), (), boot_clock() + 600.0)
        entry.template = self.plan.template.lexed.template
        assert self.l1.insert(entry) == ""
        return entry

    def cover(self) -> None:
        """A probe that is sent now is covered."""
        self.freshness.answer(self.freshness.send(), Lsn(self._next_lsn()))
        self.freshness.advance(Lsn(self.freshness.watermark + 8))

    def evict(self) -> None:
        """A change of the entry's row is applied."""
        self.l1.evict(0, Position(Lsn(100), 9), (TAG,), (), self.follower.positions)

    def choose(self) -> Shadow:
        """Send the read as one that is looked at."""
        shadow = self.auditor.choose(self.plan, self.entry)
        assert shadow is not None
        return shadow

    def shadow(self, fresh: Answer | None) -> bool:
        """Send the read so, and have Postgres answer."""
        return self.auditor.answered(self.choose(), fresh, boot_clock())

    def prove(self) -> None:
        """Let all pass that has to pass before an entry is suspected."""
        self.cover()
        self.auditor.look()
        self.catalog_watch.completed = 4
        self.auditor.look()

    @property
    def counts(self) -> dict[str, Any]:
        """What was counted, without what is 0."""
        statistics = self.auditor.statistics
        names = ("samples", "agreements", "reordered", "explained", "violations")
        found = {name: getattr(statistics, name) for name in names} | dict(statistics.skipped)
        return {name: count for name, count in found.items() if count}

    def _next_lsn(self) -> int:
        return self.freshness.watermark + 1
