"""Asks Postgres, once in a while, what the cache would have answered, and follows up where the two differ.

A sample is a hit that is sent to Postgres like a miss: on the session's own connection, so in the same state by
construction, with no query that the client did not ask. The client gets Postgres's answer, and what the cache would
have said is compared with it (ADR 14). Nothing on the hot path knows of this: to have a sample, the auditor takes the
ready-made replies away from a few sessions, so that their next read comes by here.

The entry stays in place while its case is open (`case.py`): whether a change evicts it is the evidence.
"""

import asyncio
import random
from dataclasses import dataclass
from time import perf_counter

import structlog

from services.proxy.audit.audited import Audited
from services.proxy.audit.case import Case, Finding, Seen
from services.proxy.audit.comparison import Match, compare, rows_of
from services.proxy.audit.determinacy import determinacy
from services.proxy.audit.quarantine import Quarantine
from services.proxy.audit.statistics import AuditStatistics
from services.proxy.cache.entry import Answer, Entry
from services.proxy.cache.freshness import boot_clock
from services.proxy.cache.outage import Phase
from services.proxy.session.planning import Plan
from services.shared.lsn import format_lsn

_LOOK_SECONDS = 0.05  # between two looks at the open cases
_MOST_CASES = 16  # open at once; where changes are many there are many, all of them soon explained
# Of the time that Postgres may spend on samples, and of the hits that may be samples, both by samples a second: slow
# statements are sampled less, and so is a cache with little to do.
_SHARE = 0.01
_LOST_SECONDS = 60.0  # after which a sample is not awaited any more, whose session may have ended
_SESSIONS = (1, 2, 4, 8, 16)  # asked for a sample, one lot after the other: the first may be idle
_LOT_SECONDS = 0.02
_JITTER = 0.5  # of the time between two samples, so that no rhythm of an application's hides from them

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shadow:
    """A hit that is on its way to Postgres.

    Attributes:
        entry: What the cache would have answered.
        plan: Of the read.
        is_sample: Whether it is one, or a second look at an answer that is suspected.
    """

    entry: Entry
    plan: Plan
    is_sample: bool


class Auditor:
    """The auditor of one worker and cache.

    Attributes:
        watchful: Whether hits have to be shown to it; else nothing of it costs them anything.
        statistics: What it found.
    """

    def __init__(self, audited: Audited, rate: float, quarantine: Quarantine) -> None:
        """Prepare.

        Args:
            audited: The cache.
            rate: Samples a second; 0: none.
            quarantine: Where templates go whose answers are proven wrong.
        """
        self._audited = audited
        self._rate = rate
        self._quarantine = quarantine
        self._due = False
        self._rests_until = 0.0  # boot-clock second
        self._hits_needed = 1 / (_SHARE * rate) if rate else 0.0  # before the next sample
        self._cases: dict[Entry, Case] = {}
        self._opened = asyncio.Event()
        self.watchful = False
        self.statistics = AuditStatistics()

    def choose(self, plan: Plan, entry: Entry) -> Shadow | None:
        """Tell whether a read that the cache could answer with this entry goes to Postgres instead.

        An entry that is further than this worker (it came from Redis) is left alone: a standby that is just as far as
        this worker would rightly say something else. So is what is served although nothing proves it fresh. And while
        Postgres may be down, nothing is asked of it that the cache can answer.
        """
        audited = self._audited
        if plan.ages or audited.outage.phase is not Phase.UP or not audited.freshness.is_fresh():
            return None
        case = self._cases.get(entry)
        if case is not None:
            return Shadow(entry, plan, is_sample=False) if case.suspected else None
        if not self._due or any(
            theirs > ours for theirs, ours in zip(entry.at, audited.follower.positions, strict=True)
        ):
            return None
        self._due = False
        self._rests_until = boot_clock() + _LOST_SECONDS
        self._hits_needed = audited.statistics.hits + 1 / (_SHARE * self._rate)
        self._keep_watch()
        return Shadow(entry, plan, is_sample=True)

    def suspects(self, key: bytes) -> bool:
        """Tell whether what the cache has under this key answers nobody at present."""
        entry = self._audited.l1.get(key) if self.watchful else None
        case = self._cases.get(entry) if entry is not None else None
        return case is not None and case.suspected

    def answered(self, shadow: Shadow, fresh: Answer | None, sent_at: float) -> bool:
        """Take Postgres's answer.

        Args:
            shadow: To what.
            fresh: The answer; None where there was an error, or none that could be read as a whole.
            sent_at: Boot-clock second before its query was sent.

        Returns:
            Whether the entry is to stay as it is: else the answer may take its place.
        """
        began = perf_counter()
        try:
            self._take(shadow, fresh, sent_at)
        except Exception as error:  # noqa: BLE001 - the client has its answer, and shall keep its connection
            _log.error("an answer could not be audited", error=repr(error))
        self.statistics.seconds += perf_counter() - began
        return shadow.entry.live

    async def run(self) -> None:
        """Have samples taken, and follow up on them, for ever. Cancel-safe: yes."""
        if self._rate:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask_for_samples())
                tasks.create_task(self._follow_up())

    async def _ask_for_samples(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(1 - _JITTER, 1 + _JITTER) / self._rate)  # noqa: S311 - no secret
            if boot_clock() < self._rests_until or self._audited.statistics.hits < self._hits_needed:
                continue
            self._due = self.watchful = True
            for count in _SESSIONS:
                began = perf_counter()
                for session in self._audited.sessions.some(count):
                    session.look_again()
                self.statistics.seconds += perf_counter() - began
                await asyncio.sleep(_LOT_SECONDS)
                if not self._due:
                    break

    async def _follow_up(self) -> None:
        while True:
            await self._opened.wait()
            while self._cases:
                began = perf_counter()
                try:
                    self.look()
                except Exception as error:  # noqa: BLE001 - the boundary of a task: the cache goes on without a case
                    _log.error("the auditor could not follow up", error=repr(error))
                    self._cases.clear()
                self.statistics.seconds += perf_counter() - began
                await asyncio.sleep(_LOOK_SECONDS)
            self._opened.clear()

    def look(self) -> None:
        """Look at the open cases: nothing is awaited in between, so what is seen is of one instant."""
        seen = self._seen()
        for case in tuple(self._cases.values()):
            finding = case.finding(seen)
            if finding is not None:
                self._close(case, finding)
            elif case.suspected:
                continue
            elif not case.is_covered(seen):
                self._audited.prober.ask()
            elif not case.reading:
                self._doubt(case)
            elif case.is_confirmed(seen):
                case.suspected = True
                self._audited.l1.forget_replies_of(case.entry)
                self._keep_watch()

    def _take(self, shadow: Shadow, fresh: Answer | None, sent_at: float) -> None:
        now, case = boot_clock(), self._cases.get(shadow.entry)
        if shadow.is_sample:
            self.statistics.samples += 1
            self.statistics.query_seconds += now - sent_at
            self._rests_until = now + (now - sent_at) / (_SHARE * self._rate)
            if case is None:
                self._compare(shadow, fresh, now)
        elif case is not None and case.suspected and fresh is not None:
            self._ask_again(case, fresh, now)

    def _compare(self, shadow: Shadow, fresh: Answer | None, now: float) -> None:
        statistics, entry = self.statistics, shadow.entry
        if fresh is None:
            statistics.skipped["no_answer"] += 1
            return
        match compare(entry.answer, fresh):
            case Match.EQUAL:
                statistics.agreements += 1
            case Match.REORDERED:
                statistics.reordered += 1
            case Match.DIFFERENT if not entry.live:
                statistics.explained += 1
            case Match.DIFFERENT if len(self._cases) >= _MOST_CASES:
                statistics.skipped["too_many_cases"] += 1
            case Match.DIFFERENT:
                self._cases[entry] = Case(entry, shadow.plan, fresh, now)
                self._opened.set()
                self._audited.prober.ask()

    def _doubt(self, case: Case) -> None:
        """No change explains the difference: if a choice of Postgres's does not either, see after the catalog."""
        plan, catalog = case.plan, self._audited.templates.catalog
        assert plan.template is not None
        assert plan.request is not None
        assert catalog is not None
        template = plan.template
        decided = determinacy(template.lexed, template.analysis, catalog)
        if not decided.tells(template.lexed, plan.request, case.entry.answer, case.fresh):
            self._close(case, Finding.UNDETERMINED)
        else:
            case.reading = self._audited.catalog_watch.ask()

    def _ask_again(self, case: Case, fresh: Answer, now: float) -> None:
        finding = case.ask_again(fresh, now)
        if finding is not None:
            self._close(case, finding)
        self._keep_watch()

    def _close(self, case: Case, finding: Finding) -> None:
        del self._cases[case.entry]
        if finding is Finding.EXPLAINED:
            self.statistics.explained += 1
        elif finding is Finding.VIOLATION:
            self.statistics.violations += 1
            self._convict(case)
        else:
            self.statistics.skipped[finding] += 1
        if finding is Finding.UNRESOLVED:
            self._audited.l1.discard(case.entry)  # nothing is proven, and nothing is lost by asking once more
        self._keep_watch()

    def _convict(self, case: Case) -> None:
        """Keep the template from the cache, and say so. The text is without literals; values are in no log."""
        plan, catalog, entry = case.plan, self._audited.templates.catalog, case.entry
        assert plan.template is not None
        tables = [catalog.by_oid[oid] for oid in entry.relations if oid in catalog.by_oid] if catalog else []
        held = self._quarantine.add(plan.template.lexed.template)
        _log.error(
            "a cached answer is proven wrong: its template is quarantined, every read of it is forwarded",
            template=plan.template.lexed.template,
            quarantine=held.id,
            tables=[f"{table.schema}.{table.name}" for table in tables],
            cached_rows=len(rows_of(entry.answer)),
            postgres_rows=len(rows_of(case.fresh)),
            hits=entry.hits,
            position=[str(position) for position in entry.at],
            watermark=format_lsn(self._audited.freshness.watermark),
            advice="see docs/operate.md, The auditor; please report it",
        )

    def _keep_watch(self) -> None:
        self.watchful = self._due or any(case.suspected for case in self._cases.values())

    def _seen(self) -> Seen:
        audited, now = self._audited, boot_clock()
        proven_at = now - audited.freshness.age()
        return Seen(now, proven_at, audited.templates.number, audited.catalog_watch.completed)
