"""One client's session: the shell that moves bytes between the client, the cache and Postgres.

Bytes that were answered from the cache before, in the same session state, find a ready-made reply and are done (the hot
path: one look-up, one comparison of clocks, one write). Everything else is cut into turns. A turn is decided when the
one before it has been answered, and is served wholly or forwarded wholly.
"""

import asyncio
from collections import deque
from enum import Enum, auto
from time import CLOCK_BOOTTIME, clock_gettime

import structlog

from services.proxy.cache.entry import Reply
from services.proxy.cached_database import CachedDatabase
from services.proxy.exchange import Exchange, StateQuestion
from services.proxy.lookup import Lookup, Miss
from services.proxy.own_writes import OwnWrites
from services.proxy.planning import ANY_EFFECT, NO_EFFECT, Effect, Plan, plan_turn
from services.proxy.reasons import Reason
from services.proxy.relay import BackendRelay
from services.proxy.requests import decode_part, read_request
from services.proxy.session_state import SessionState, parse_state, state_request
from services.proxy.session_statements import SessionStatements
from services.proxy.sql.verdict import NameSpace
from services.proxy.turns import Part, PartKind, TurnAssembler
from services.proxy.upstream import UpstreamConnection
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.frontend import TERMINATE, FrontendMessage
from services.shared.pgwire.notice import error_response
from services.shared.pgwire.sqlstate import Sqlstate

_MAX_BUFFERED_BYTES = 1024 * 1024  # of turns that a client sent ahead; beyond it the client is not read
_STATE_RETRY_SECONDS = 5.0  # how long a session goes without asking again when its state could not be had

_NO_REPLIES: dict[bytes, Reply] = {}
_OUTSIDE_BLOCK = int(TransactionStatus.IDLE)

_log = structlog.get_logger()


class _Stage(Enum):
    """Where a session's turn is."""

    IDLE = auto()  # every turn is answered
    ASKING_STATE = auto()  # the proxy asks Postgres for the session's state before it decides a turn
    ASKING_CACHE = auto()  # waiting for Redis, or for another session's query
    FORWARDED = auto()  # waiting for Postgres
    CLOSED = auto()


class Session(asyncio.Protocol):
    """A session after its start-up: the protocol of the client's connection."""

    def __init__(
        self,
        database: CachedDatabase,
        client: asyncio.Transport,
        upstream: UpstreamConnection,
        relay: BackendRelay,
        refusal: str,
    ) -> None:
        """Take over a client that Postgres has let in.

        Args:
            database: The cache.
            client: The client's connection.
            upstream: The session's connection to Postgres.
            relay: What cuts that connection's bytes; it may hold the beginning of a message.
            refusal: Why nothing of this session is cached; empty when it may be.
        """
        self._database = database
        self._client = client
        self._upstream = upstream
        self._refusal = refusal
        self._freshness = database.freshness
        self._statistics = database.statistics
        self._relay = relay
        self._assembler = TurnAssembler()
        self._statements = SessionStatements(database.names)
        self._writes = OwnWrites(tracked=database.reads_own_writes)
        self._lookup = Lookup(database, self._writes)
        self._unasked = Exchange(deque(), None)  # sees what Postgres says of its own accord
        self._exchange: Exchange | None = None
        self._question: StateQuestion | None = None
        self._state: SessionState | None = None
        self._state_epoch = ""  # the bucket epoch that was followed when the state was read
        self._state_retry_at = 0.0
        self._held: Part | None = None  # the turn that waits for the state
        self._greeting = b""  # the first ReadyForQuery, held back until the state is known
        self._effect = ANY_EFFECT
        self._miss: Miss | None = None
        self._stage = _Stage.IDLE
        self._status = _OUTSIDE_BLOCK
        self._replies = _NO_REPLIES
        self._told_why = False  # Postgres said why it ends the connection
        self._client_full = False
        self._upstream_full = False
        self._reading = True

    def greet(self, ready: bytes) -> None:
        """Begin: learn the session's state, then let the client see its first ReadyForQuery."""
        self._greeting = ready
        if self._refusal:
            self._client.write(ready)
        else:
            self._ask_state()

    # -- the client's side

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client. Called by the loop; the hot path."""
        reply = self._replies.get(data)
        if (
            reply is not None
            and reply.entry.live
            and clock_gettime(CLOCK_BOOTTIME) < self._freshness.deadline
            and self._writes.tokens is None
        ):
            self._client.write(reply.payload)
            reply.entry.hits += 1
            self._statistics.hits += 1
            if reply.sets_unnamed:
                self._statements.answered_here(reply.unnamed)
            return
        self._assembler.feed(data)
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: nothing of this session goes on. Called by the loop."""
        self._close()
        self._database.sessions.discard(self)
        self._statistics.sessions -= 1

    def pause_writing(self) -> None:
        """The client reads slower than we write: stop reading both sides. Called by the loop."""
        self._client_full = True
        self._upstream.pause_reading()
        if self._miss is not None:
            self._miss.stop_sharing()  # those who joined this query must not wait for a slow reader
        self._regulate()

    def resume_writing(self) -> None:
        """The client has caught up. Called by the loop."""
        self._client_full = False
        self._upstream.resume_reading()
        self._pump()

    def end(self, sqlstate: Sqlstate, message: str) -> None:
        """End the session with an error that the client sees."""
        if self._stage is not _Stage.CLOSED:
            self._client.write(error_response("FATAL", sqlstate, message).encode())
            self._close()

    # -- Postgres's side

    def upstream_received(self, data: bytes) -> None:
        """Take bytes from Postgres."""
        sink = self._question or self._exchange or self._unasked
        try:
            passed = self._relay.feed(data, sink)
        except ProtocolViolation as violation:
            self.end(Sqlstate.CONNECTION_FAILURE, f"tidegate: Postgres broke the protocol: {violation.message}")
            return
        if passed:
            self._client.write(passed)
        self._told_why |= sink.fatal
        if self._unasked.setting_changed:
            self._unasked.setting_changed = False
            self.forget_state()
        if self._question is not None and self._question.done:
            self._state_answered(self._question)
        elif self._exchange is not None and self._exchange.done:
            self._turn_answered(self._exchange)

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres ended the connection; when it did not say why, the proxy does."""
        if self._told_why:
            self._close()
        else:
            self.end(Sqlstate.CONNECTION_FAILURE, "tidegate: the connection to Postgres was lost")

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than the client writes, or has caught up."""
        self._upstream_full = full
        self._regulate()

    # -- turns

    def _pump(self) -> None:
        """Handle what the client has sent, as far as it can be handled now.

        No turn is begun while the client does not read: a client that asks ahead would pile up its answers here.
        """
        try:
            while self._stage is _Stage.FORWARDED or (self._stage is _Stage.IDLE and not self._client_full):
                copying = self._exchange is not None and self._exchange.copying
                part = self._assembler.next_part(within_turn=self._stage is _Stage.FORWARDED, copying=copying)
                if part is None:
                    break
                self._handle(part)
        except ProtocolViolation as violation:
            self.end(violation.sqlstate, violation.message)
        self._arm()
        self._regulate()

    def _handle(self, part: Part) -> None:
        if part.kind is PartKind.TERMINATE:
            self._upstream.write(part.raw)
            self._close()
        elif part.kind is PartKind.COPY:
            self._upstream.write(part.raw)
        elif self._stage is _Stage.FORWARDED:
            messages = decode_part(part)
            self._forward(part, messages, self._plan(part, messages).effect)
        else:
            self._decide(part)

    def _decide(self, part: Part) -> None:
        """Decide a turn: all earlier ones have been answered."""
        if self._refusal:
            self._statistics.forwarded[self._refusal] += 1
            self._forward(part, None, NO_EFFECT)
            return
        if self._wants_state():
            self._held = part
            self._ask_state()
            return
        messages = decode_part(part)
        plan = self._plan(part, messages)
        if plan.refusal:
            self._statistics.forwarded[plan.refusal] += 1
            self._forward(part, messages, plan.effect)
            return
        self._lookup.note_read()
        refusal = self._lookup.serve_refusal(plan, self._state)
        reply = None if refusal else self._lookup.from_l1(plan)
        if reply is not None:
            self._serve(reply)
            # Not after a wait: the catalog that the plan was made with may be another one by then.
            if self._state is not None:
                self._lookup.remember(plan, part.raw, reply, self._statements.names.context(self._state.key))
        else:
            self._ask_others(part, messages, plan, refusal)

    def _plan(self, part: Part, messages: list[FrontendMessage] | None) -> Plan:
        statements = self._statements
        request = None
        if messages is not None and part.first and part.last and self._status == _OUTSIDE_BLOCK:
            request = read_request(messages, statements.names, statements.unnamed, self._meaning)
        plan = plan_turn(messages, request, statements.names, statements.unnamed, self._state, self._database.templates)
        if self._status != _OUTSIDE_BLOCK:
            return Plan(Reason.IN_TRANSACTION, plan.effect)
        return plan

    def _meaning(self, text: bytes) -> tuple[int, ...] | None:
        """Tell what the names in a statement mean in this session now; None while that is not known."""
        if self._state is None:
            return None
        template = self._database.templates.find(text, NameSpace(self._state.schemas))
        return template.analysis.names if template is not None else None

    def _ask_others(self, part: Part, messages: list[FrontendMessage] | None, plan: Plan, refusal: str) -> None:
        """Look elsewhere than in L1: in queries that are under way, then in Redis, then in Postgres."""

        def answered(reply: Reply | None, refusal: str) -> None:
            if self._stage is _Stage.CLOSED:
                return
            self._stage = _Stage.IDLE
            if reply is not None:
                self._serve(reply)
            else:
                self._forward_miss(part, messages, plan, refusal)
            self._pump()

        self._stage = _Stage.ASKING_CACHE
        if not self._lookup.ask(plan, self._state, answered, refusal):
            self._stage = _Stage.IDLE
            self._forward_miss(part, messages, plan, refusal or Reason.NOT_CACHED)

    def _serve(self, reply: Reply) -> None:
        """Answer a turn from the cache."""
        self._client.write(reply.payload)
        if reply.sets_unnamed:
            self._statements.answered_here(reply.unnamed)

    def _forward_miss(self, part: Part, messages: list[FrontendMessage] | None, plan: Plan, refusal: str) -> None:
        """Forward a cacheable read, and capture its answer if that may be kept."""
        self._statistics.misses += 1
        self._statistics.forwarded[refusal] += 1
        self._miss = self._lookup.begin_miss(plan, self._state)
        self._forward(part, messages, plan.effect)

    def _forward(self, part: Part, messages: list[FrontendMessage] | None, effect: Effect) -> None:
        """Hand a turn, or a further part of one, to Postgres verbatim."""
        first, acks = self._statements.catch_up(messages or ())
        acks.extend(self._statements.expected(messages or (), self._meaning))
        if self._exchange is None:
            self._exchange = Exchange(deque(acks), self._miss.recorder if self._miss is not None else None)
            self._effect = effect
        else:
            self._exchange.expect(acks)
            self._effect = self._effect.union(effect)
        self._writes.begin(effect)
        if effect.session:
            self.forget_state()
        self._stage = _Stage.FORWARDED
        self._upstream.write(first + part.raw if first else part.raw)

    def _turn_answered(self, exchange: Exchange) -> None:
        """Postgres has answered a turn: learn from it, keep its answer, and go on."""
        self._exchange = None
        self._statements.settle(exchange.settled)
        if self._effect.names:
            self._statements.forget()
        if exchange.setting_changed:
            self.forget_state()
        self._status = exchange.status
        if self._status == _OUTSIDE_BLOCK:
            self._lookup.writes_visible()
        miss, self._miss = self._miss, None
        if miss is not None:
            self._lookup.end_miss(miss, failed=exchange.failed)
        self._stage = _Stage.IDLE
        self._pump()

    # -- the session's state

    def _wants_state(self) -> bool:
        """Tell whether the state has to be asked for before a turn is decided.

        It is unknown, or it shows another history than the one that has been followed since: a session that was there
        before a new epoch has an old canary in its state.
        """
        if self._status != _OUTSIDE_BLOCK or clock_gettime(CLOCK_BOOTTIME) <= self._state_retry_at:
            return False
        return self._state is None or self._state_epoch != self._database.follower.epoch

    def _ask_state(self) -> None:
        self._stage = _Stage.ASKING_STATE
        self._question = StateQuestion()
        self._upstream.write(state_request(self._database.settings.name))

    def _state_answered(self, question: StateQuestion) -> None:
        self._question = None
        self._stage = _Stage.IDLE
        self._state_epoch = self._database.follower.epoch
        try:
            self._state = parse_state(question.row) if question.row is not None else None
        except ValueError as error:
            _log.warning("the session's state could not be read", error=str(error))
        if self._state is None:
            self._state_retry_at = clock_gettime(CLOCK_BOOTTIME) + _STATE_RETRY_SECONDS
        if self._greeting:
            self._client.write(self._greeting)
            self._greeting = b""
        held, self._held = self._held, None
        if held is not None:
            self._decide(held)
        self._pump()

    def forget_state(self) -> None:
        """Ask Postgres for the session's state before the next decision."""
        self._state = None
        self._replies = _NO_REPLIES

    # -- flow

    def _arm(self) -> None:
        """Let the hot path answer, while nothing is under way and everything that a reply rests on is known."""
        ready = (
            self._stage is _Stage.IDLE
            and self._status == _OUTSIDE_BLOCK
            and self._assembler.between_turns
            and self._state is not None
            and not self._state.refusal
            and self._lookup.catalog_refusal() == ""
        )
        self._replies = self._statements.names.context(self._state.key) if ready and self._state else _NO_REPLIES

    def _regulate(self) -> None:
        """Read from the client only while what it sends can go somewhere."""
        if self._stage is _Stage.CLOSED:
            return
        ahead = self._stage is not _Stage.IDLE and self._assembler.buffered > _MAX_BUFFERED_BYTES
        reading = not (self._client_full or self._upstream_full or ahead)
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._client.resume_reading()
            else:
                self._client.pause_reading()

    def _close(self) -> None:
        if self._stage is _Stage.CLOSED:
            return
        idle = self._stage is _Stage.IDLE
        self._stage = _Stage.CLOSED
        self._replies = _NO_REPLIES
        self._lookup.close()
        if self._miss is not None:
            self._miss.stop_sharing()
        if idle:
            self._upstream.write(TERMINATE)
        self._upstream.close()
        self._client.close()
