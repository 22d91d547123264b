"""One session's way into the cache: may it be served, where is the answer, who asks already, may it be kept?

Consistency contract, section 9. Nothing here touches the wire; the session does.
"""

import asyncio
from functools import partial

import structlog

from services.proxy.audit.auditor import Shadow
from services.proxy.cache.entry import ALWAYS_LIVE, NO_TALLY, Answer, Entry, Reply
from services.proxy.cache.freshness import boot_clock
from services.proxy.cached_database import CachedDatabase
from services.proxy.reasons import Reason
from services.proxy.session.joining import Answered, Joining
from services.proxy.session.miss import Miss, count_miss
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Plan
from services.proxy.session.recorder import ANSWER_TOO_LARGE, Recorder
from services.proxy.session.row_names import rows_read
from services.proxy.session.stale_hits import serves_stale, warning
from services.proxy.session.state import SessionState
from services.proxy.session.strong_proof import StrongProof
from services.proxy.session.write_scope import SharedWrites
from services.shared.position import Position, earlier

MAX_REPLY_BYTES = 32 * 1024
"""A longer reply is put together anew each time: it would be kept twice."""

_MAX_TURN_BYTES = 4 * 1024  # longer client bytes are not worth keeping as a dictionary's key

# Why a read is to run by itself, though nothing speaks against sharing the query of another session.
_BY_ITSELF = (Reason.AUDITED, Reason.POSTGRES_DOWN)

_log = structlog.get_logger()


class Lookup:
    """The cache as one session sees it."""

    def __init__(self, database: CachedDatabase, writes: OwnWrites, shared: SharedWrites | None = None) -> None:
        """See the cache through a session.

        Args:
            database: The cache.
            writes: The session's own writes.
            shared: Those of the sessions that it shares its writes with; None when there are none.
        """
        self._database = database
        self._writes = writes
        self._shared = shared
        self._joining = Joining(database, writes, shared)
        self._proof = StrongProof(database.freshness)
        self._task: asyncio.Task[None] | None = None
        self._shadow: Shadow | None = None  # of the read that is sent next

    def arrived(self) -> None:
        """The client has sent something."""
        self._proof.arrived()

    def answered_upstream(self) -> None:
        """Postgres has answered: nothing that was proven before is as new as that."""
        self._proof.spend()

    def note_read(self) -> None:
        """A cacheable read came: the proxy's clock has to run."""
        self._database.prober.note_read()

    @property
    def behind_own_ddl(self) -> bool:
        """Whether the session may have changed the catalog since it was read."""
        return self._joining.behind_own_ddl

    def catalog_refusal(self) -> str:
        """Return why what the catalog says cannot be relied on; empty when it can."""
        return self._joining.catalog_refusal()

    def keep_refusal(self, plan: Plan, state: SessionState | None) -> str:
        """Return why the answer to this read may not be kept; empty when it may, as far as can be told now."""
        follower = self._database.follower
        if not follower.epoch:
            return follower.drop_reason
        if state is None or not follower.matches(state.timeline, state.canary):
            return Reason.OTHER_HISTORY
        if plan.template is None or self._database.uncached_relation(plan.template.analysis.relations):
            return Reason.NOT_FOLLOWED
        if plan.template.lexed.template in self._database.quarantine.templates:
            return Reason.QUARANTINED
        return self.catalog_refusal()

    def serve_refusal(self, plan: Plan, state: SessionState | None) -> str:
        """Return why this read may not be served from the cache now; empty when it may, if an answer is there."""
        return self.keep_refusal(plan, state) or self.gate_refusal(plan)

    def gate_refusal(self, plan: Plan) -> str:
        """Return why a read whose answer may be kept may not be served now: it is the other half of `serve_refusal`."""
        database, demand = self._database, plan.demand
        freshness = database.freshness
        # Asked at every level: what is covered is forgotten by it, and a group without writes has its hot path again.
        if not self._writes_covered(plan) and demand.own_writes:
            return Reason.OWN_WRITE
        if demand.span < freshness.span:
            database.prober.note_bound(demand.max_staleness)
        return "" if freshness.is_fresh(demand.span) else Reason.NOT_FRESH

    def _writes_covered(self, plan: Plan) -> bool:
        """Tell whether what the session wrote, or a session that it shares writes with, is nothing to this read."""
        relations, covered = plan.relations, self._database.freshness.covered
        own = self._writes.covered(relations, covered, partial(rows_read, plan))
        return own and (self._shared is None or self._shared.covered(relations, covered))

    def from_l1(self, plan: Plan) -> Entry | None:
        """Return the entry that this worker holds, if it may be served without a wait, and count the hit."""
        return None if plan.demand.strong and not self._is_proven(plan) else self._found(plan)

    def _is_proven(self, plan: Plan) -> bool:
        """Tell whether a strong read that nothing speaks against is proven current by what was waited for before."""
        same_catalog = plan.catalog == self._database.templates.number  # else names may mean something else by now
        return self._proof.holds() and same_catalog and not self._database.auditor.suspects(plan.key)

    def _found(self, plan: Plan) -> Entry | None:
        entry = self._database.l1.get(plan.key)
        if entry is None or not _suits(plan, entry.answer) or not _is_young(plan, entry.sent_at):
            return None
        entry.hits += 1
        entry.tally.hits += 1
        entry.tally.looked_up += 1
        self._database.statistics.hits += 1
        self._note_ageing(plan)
        self._proof.shown(entry)
        return entry

    def serves_stale(self, plan: Plan, state: SessionState | None) -> bool:
        """Tell whether Postgres is down, and this read may be served although nothing proves its answer fresh."""
        if self.behind_own_ddl or not serves_stale(self._database, plan, state):
            return False
        return not plan.demand.own_writes or self._writes_covered(plan)

    def stale_warning(self) -> bytes:
        """Count an answer that is served so, and return what is said in front of it."""
        self._database.statistics.hits_stale += 1
        return warning(self._database.outage.staleness)

    def audit_refusal(self, plan: Plan, state: SessionState | None) -> str:
        """Return why a read that may be served goes to Postgres all the same: the auditor wants to know its answer.

        A standby's would be no measure: it may be older than what is in the cache.
        """
        database = self._database
        if state is None or state.server is not None:
            return ""
        if database.auditor.watchful and (entry := database.l1.get(plan.key)) and _suits(plan, entry.answer):
            self._shadow = database.auditor.choose(plan, entry)
        return "" if self._shadow is None else Reason.AUDITED

    def would_hit(self, plan: Plan, state: SessionState | None) -> bool:
        """Tell whether the read could be served from this worker's memory at once."""
        if plan.demand.strong:
            return False
        refused = bool(self.serve_refusal(plan, state)) and not self.serves_stale(plan, state)
        entry = None if refused else self._database.l1.get(plan.key)
        return entry is not None and _is_young(plan, entry.sent_at)

    def ask(self, plan: Plan, state: SessionState | None, answered: Answered, refusal: str) -> bool:
        """Join a query that is under way, or ask Redis; `answered` is called later with an answer or a reason.

        Args:
            plan: The read.
            state: The session's state.
            answered: Called once, unless this returns False.
            refusal: Why no stored answer may be served. A query that is under way may be joined all the same: see
            `joining`. With POSTGRES_DOWN the stored answer may be served, and no query is waited for.

        Returns:
            False when neither is worth it; `answered` is then never called.
        """
        if plan.demand.strong:
            return self._begin_strong(plan, state, answered, refusal)
        self._proof.spend()
        stale = refusal == Reason.POSTGRES_DOWN
        if refusal not in _BY_ITSELF and self._joining.join(plan, state, answered):
            return True
        if stale and not self._database.store.available:
            return False
        if not stale and (refusal or not self._store_pays(plan)):
            return False
        self._task = asyncio.get_running_loop().create_task(self._ask_store(plan, state, answered))
        return True

    def finds_elsewhere(self, plan: Plan, refusal: str) -> bool:
        """Tell whether `ask` may find an answer that is not in this worker's memory."""
        if self._joining.is_under_way(plan):
            return True
        if refusal or plan.template is None or not self._database.store.available:
            return False
        return not plan.template.economy.l2.skips()

    def remember(
        self,
        turn: bytes,
        reply: Reply,
        context: dict[bytes, Reply],
        also: tuple[dict[bytes, Reply], bytes] | None = None,
    ) -> None:
        """Keep a ready-made reply for the hot path, where bytes of the turn alone say what it asks; see `L1`."""
        if len(reply.payload) > MAX_REPLY_BYTES or len(turn) > _MAX_TURN_BYTES:
            return
        if reply.entry is ALWAYS_LIVE:
            self._database.block_replies.remember(context, turn, reply)
        else:
            self._database.l1.remember_reply(reply.entry, context, turn, reply, also)

    def could_join(self, plan: Plan, state: SessionState | None) -> bool:
        """Tell whether another session's query is under way that this read may join."""
        return self._joining.could_join(plan, state)

    def begin_miss(self, plan: Plan, state: SessionState | None, why: str, refused: str) -> Miss | None:
        """Note where this worker stands before a read is sent.

        Args:
            plan: The read.
            state: The session's state.
            why: Why no stored answer was given.
            refused: What `keep_refusal` says now.

        Returns:
            None when the answer can be neither kept nor shared, or is bound to be evicted.
        """
        database = self._database
        shadow, self._shadow = self._shadow, None
        if why == Reason.OWN_WRITE and self._is_about_to_be_evicted(plan):
            return None
        q0 = database.follower.fill_position()
        server = state.server if state is not None else None
        refusal = refused or ("" if q0 is not None else "before_first_watermark")
        if not refusal and server is not None and plan.ages:
            refusal = Reason.REPLICA_AGES  # it is older than the time since it was asked for
        sent_at, flights = boot_clock(), database.flights
        if not refusal and self._joining.is_too_large(plan, sent_at):
            refusal = ANSWER_TOO_LARGE  # as it was lately: to find that out again would take a copy of the beginning
        if refusal:
            database.statistics.refused[refusal] += 1
            q0 = None
        flight = self._joining.open(plan, state, sent_at, may_be_kept=not refused)
        if q0 is None and flight is None:
            return None
        outgrown = None if flight is None else partial(flights.outgrown, flight)
        recorder = Recorder(database.settings.capture_bytes, outgrown)
        tally = NO_TALLY if q0 is None else count_miss(plan, audited=shadow is not None)
        return Miss(
            plan, q0, database.follower.epoch, sent_at, recorder, flight, flights, server, tally=tally, shadow=shadow
        )

    def _is_about_to_be_evicted(self, plan: Plan) -> bool:
        """Tell it of a read that an own write keeps from the cache; what others write is known by relation only."""
        return self._shared is None and self._writes.touch_rows(plan.relations, self._database.freshness.covered)

    def end_miss(self, miss: Miss, *, failed: bool) -> Entry | None:
        """The answer has come: keep it and share it, if it is whole. Return the entry, if there is one now."""
        described = miss.plan.request is not None and miss.plan.request.described
        answer = None if failed else miss.recorder.answer(described=described)
        miss.share(answer)
        if miss.q0 is None:
            return None
        if miss.shadow is not None and self._database.auditor.answered(miss.shadow, answer, miss.sent_at):
            return None
        if answer is None:
            self._database.statistics.refused[miss.recorder.spoiled or "no_answer"] += 1
        elif miss.server is None:
            return self._keep(miss, miss.q0, answer)
        else:
            sent_at = miss.q0
            self._database.keep_from_standby(
                miss.server, miss.standing, lambda q0: self._keep(miss, earlier(sent_at, q0), answer)
            )
        return None

    def _keep(self, miss: Miss, q0: tuple[Position, ...], answer: Answer) -> Entry | None:
        try:
            return self._database.keep(miss.plan, answer, q0, miss.epoch, miss.sent_at, miss.tally)
        except Exception as error:  # noqa: BLE001 - the client has its answer, and shall keep its connection
            _log.error("an answer could not be kept", error=repr(error))
            self._database.statistics.refused["keeping_failed"] += 1
            return None

    def stop_waiting(self) -> None:
        """Stop waiting for Redis, or for another session's query."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._joining.stop_waiting()

    def _store_pays(self, plan: Plan) -> bool:
        """Tell whether to ask Redis for this read."""
        return self._database.store.available and plan.template is not None and plan.template.economy.l2.pays()

    def _note_ageing(self, plan: Plan) -> None:
        if plan.ages:
            self._database.statistics.hits_ageing += 1

    def _begin_strong(self, plan: Plan, state: SessionState | None, answered: Answered, refusal: str) -> bool:
        """Have it proven that the answer that is there is current now, if there is one; else forwarding is quicker."""
        database = self._database
        if refusal not in ("", Reason.OWN_WRITE) or database.auditor.suspects(plan.key):
            return False
        if database.l1.get(plan.key) is None and not self._store_pays(plan):
            return False
        if refusal or not self._proof.holds():
            self._proof.number = database.coverage.ask()
        arrived_at, number = boot_clock(), self._proof.number
        self._task = asyncio.get_running_loop().create_task(self._ask_strong(plan, state, answered, arrived_at, number))
        return True

    async def _ask_strong(
        self, plan: Plan, state: SessionState | None, answered: Answered, arrived_at: float, number: int
    ) -> None:
        try:
            entry, refusal = await self._strongly(plan, state, number)
        except Exception as error:  # noqa: BLE001 - the boundary of a task: a session must not wait for ever
            _log.error("a strong read could not be answered", error=repr(error))
            entry, refusal = None, Reason.NOT_CACHED
        self._task = None
        if entry is not None:
            answered(entry.answer, "")
            return
        self._proof.spend()
        if not self._joining.join(plan, state, answered, arrived_at):
            answered(None, refusal or Reason.NOT_CACHED)

    async def _strongly(self, plan: Plan, state: SessionState | None, number: int) -> tuple[Entry | None, str]:
        """Wait for the proof, and only then look the answer up: what was there before may be evicted meanwhile."""
        database = self._database
        if database.l1.get(plan.key) is None:
            found = await database.store.get(plan.key)
            if found is None or database.adopt_stored(plan, found) is None:
                return None, ""
            if plan.template is not None:
                plan.template.economy.l2.hits += 1
        if not await database.coverage.reach(number, database.settings.strong_wait):
            return None, Reason.STRONG_WAIT
        if plan.catalog != database.templates.number:
            return None, Reason.CATALOG_CHANGED  # names may mean something else by now
        # Nothing is awaited between here and the write.
        refusal = self.serve_refusal(plan, state)
        return (None, refusal) if refusal else (self._found(plan), "")

    async def _ask_store(self, plan: Plan, state: SessionState | None, answered: Answered) -> None:
        try:
            answer, refusal = await self._from_store(plan, state)
        except Exception as error:  # noqa: BLE001 - the boundary of a task: a session must not wait for ever
            _log.error("an answer from redis could not be used", error=repr(error))
            answer, refusal = None, Reason.NOT_CACHED
        self._task = None
        # Somebody may have sent the same query while Redis was asked.
        if answer is not None or self._database.outage.serves or not self._joining.join(plan, state, answered):
            answered(answer, refusal or Reason.NOT_CACHED)

    async def _from_store(self, plan: Plan, state: SessionState | None) -> tuple[Answer | None, str]:
        """Return an answer, or a reason why what Redis has may not be served, or neither where it has nothing.

        An answer comes with the reason POSTGRES_DOWN where nothing proves it fresh.
        """
        database, asked_at = self._database, boot_clock()
        found = await database.store.get(plan.key)
        if plan.template is not None:
            plan.template.economy.l2.wait.note(boot_clock() - asked_at)
        entry = database.adopt_stored(plan, found) if found is not None else None
        if entry is None or not _suits(plan, entry.answer) or not _is_young(plan, entry.sent_at):
            return None, ""
        # The gate is looked at after the wait, and nothing is awaited between it and the write.
        refusal = self.serve_refusal(plan, state)
        if refusal:
            if not self.serves_stale(plan, state):
                return None, refusal
            refusal = Reason.POSTGRES_DOWN
        if plan.template is not None:
            plan.template.economy.l2.hits += 1
        entry.hits += 1
        entry.tally.hits += 1
        entry.tally.looked_up += 1
        database.statistics.hits_l2 += 1
        self._note_ageing(plan)
        return entry.answer, refusal


def _suits(plan: Plan, answer: Answer) -> bool:
    """Tell whether an answer has all that the request asks for."""
    return plan.request is not None and (not plan.request.described or bool(answer.description))


def _is_young(plan: Plan, sent_at: float) -> bool:
    """Tell whether an answer to a query that was sent then may still be served to this one, where it ages."""
    return not plan.ages or sent_at > boot_clock() - plan.ttl
