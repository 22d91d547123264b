"""One client's session: the shell that moves bytes between the client, the cache and Postgres.

Bytes that were answered from the cache before, in the same session state, find a ready-made reply and are done (the hot
path: one look-up, one comparison of clocks, one write). Turns of the usual form whose statement is known go through to
Postgres, or the express way. Everything else is cut into turns, which `turn_runner` carries out one after the other.
"""

import asyncio
from time import CLOCK_BOOTTIME, clock_gettime

from services.proxy.cache.freshness import Freshness
from services.proxy.cached_database import CachedDatabase
from services.proxy.session.client_output import ClientOutput
from services.proxy.session.conversation import OUTSIDE_BLOCK
from services.proxy.session.demand import BoundedClock
from services.proxy.session.exchange import Unasked
from services.proxy.session.express import Express
from services.proxy.session.orphan_runner import OrphanRunner
from services.proxy.session.outliving import Fate, Outliving
from services.proxy.session.relay import BackendRelay
from services.proxy.session.reply_table import ReplyTable
from services.proxy.session.stage import Stage
from services.proxy.session.through import WayThrough
from services.proxy.session.through_statements import statement_name
from services.proxy.session.turn_form import turn_form
from services.proxy.session.turn_runner import TurnRunner
from services.proxy.session.turns import Part, PartKind, TurnAssembler
from services.proxy.session.unfinished import Unfinished
from services.proxy.session.write_scope import SharedWrites
from services.proxy.upstream.connection import UpstreamConnection
from services.proxy.worker.draining import SHUTDOWN_MESSAGE
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.frontend import TERMINATE
from services.shared.pgwire.notice import error_response
from services.shared.pgwire.sqlstate import Sqlstate

_MAX_BUFFERED_BYTES = 1024 * 1024  # of turns that a client sent ahead; beyond it the client is not read
_BACK = "terminating connection because Postgres was down: it is back, and the session is gone there"
_OVER = "tidegate: the connection to Postgres was lost, and serve_stale_for has passed"
_NO_REPLIES = ReplyTable()


class Session(asyncio.Protocol):
    """A session after its start-up: the protocol of the client's connection.

    There may be thousands, most of them idle, so it has slots: a dictionary of as many attributes takes 1.3 KB more.

    Attributes:
        client_full: The client reads slower than it is written to.
    """

    # fmt: off
    __slots__ = (
        "_assembler", "_cached", "_client", "_conversation", "_database", "_draining", "_express", "_freshness",
        "_keeps_sessions", "_outliving", "_output", "_reading", "_relay", "_replies", "_replies_behind", "_rested",
        "_statistics", "_through", "_told_why", "_turns", "_unasked", "_unfinished", "_upstream", "_upstream_full",
        "_writes", "client_full",
    )
    # fmt: on

    def __init__(
        self,
        database: CachedDatabase,
        client: asyncio.Transport,
        upstream: UpstreamConnection,
        relay: BackendRelay,
        refusal: str,
        shared: SharedWrites | None = None,
    ) -> None:
        """Take over a client that Postgres has let in.

        Args:
            database: The cache.
            client: The client's connection.
            upstream: The session's connection to Postgres.
            relay: What cuts that connection's bytes; it may hold the beginning of a message.
            refusal: Why nothing of this session is cached; empty when it may be.
            shared: The writes of the sessions that it shares its own with, if there are such.
        """
        self._database = database
        self._client = client
        self._upstream = upstream
        self._cached = not refusal
        self._freshness: Freshness | BoundedClock = database.freshness
        self._statistics = database.statistics
        self._relay = relay
        self._assembler = TurnAssembler()
        turns = TurnRunner(database, self, refusal, shared)
        self._turns: TurnRunner | OrphanRunner = turns
        self._through = WayThrough(turns, upstream.write)
        self._express = Express(turns, self._through)
        self._conversation = self._turns.conversation
        self._writes = self._conversation.writes
        self._keeps_sessions = database.outage.keeps_sessions
        self._unasked = Unasked(holds_farewell=self._cached and self._keeps_sessions)
        self._outliving = Outliving(database.outage)
        self._replies: ReplyTable = _NO_REPLIES
        self._replies_behind: ReplyTable = _NO_REPLIES  # what holds behind a turn that goes through
        self._output = ClientOutput(client)
        self._told_why = False  # Postgres said why it ends the connection
        self.client_full = False
        self._upstream_full = False
        self._reading = True
        self._unfinished = Unfinished(self._hurry)
        self._draining = False
        self._rested = False  # nothing was under way since the idle time-out looked last

    def greet(self, ready: bytes, backend: int) -> None:
        """Begin: learn the session's state, then let the client see its first ReadyForQuery.

        Args:
            ready: That message.
            backend: Process id of the session's backend, as Postgres told it; 0: not told.
        """
        self._conversation.keeper.backend = backend
        if self._cached and isinstance(self._turns, TurnRunner):
            self._turns.learn_state(lambda: self.to_client(ready))
        else:
            self._client.write(ready)

    # -- the client's side

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client. Called by the loop; the hot path."""
        replies = self._replies
        reply = replies.get(data)
        if reply is None:
            reply = replies.find_narrowed(data)
        if (
            reply is not None
            and reply.entry.live
            and (now := clock_gettime(CLOCK_BOOTTIME)) < self._freshness.deadline
            and now < reply.expires_at
            and (
                self._writes.tokens is None
                or not reply.reads  # it begins or ends a block
                or self._writes.spare(reply.looked_at, self._database.freshness.covered)
            )
        ):
            self._client.write(reply.payload)
            reply.entry.hits += 1
            reply.tally.hits += 1
            self._statistics.hits += reply.reads
            if reply.ages:
                self._statistics.hits_ageing += reply.reads
            if reply.follow_up is not None:
                self._conversation.follow(reply.follow_up)
                if reply.follow_up.changes_block:
                    self._arm()
            return
        if replies is not _NO_REPLIES and not self.client_full and (form := turn_form(data)) is not None:
            name, table = statement_name(form), self._conversation.table_of(data, replies)
            if self._through.take(data, form, name, table):
                self._rested = False
                self._replies, self._replies_behind = _NO_REPLIES, replies
                return
            if self._express.take(data, form, name, table):
                self._rested = False
                if self._turns.stage is not Stage.IDLE:
                    self._replies = _NO_REPLIES
                self._output.flush()
                return
        self.take(data)

    def take(self, data: bytes) -> None:
        """Take bytes from the client that no ready-made reply answers."""
        self._through.unfold()
        self._conversation.lookup.arrived()
        self._assembler.feed(data)
        self.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: nothing of this session goes on. Called by the loop."""
        self._close()
        self._database.sessions.discard(self)
        self._statistics.sessions -= 1

    def pause_writing(self) -> None:
        """The client reads slower than we write: stop reading both sides, if we may. Called by the loop."""
        self.client_full = True
        if not self._turns.reads_on():
            self._upstream.pause_reading()
        self._regulate()

    def resume_writing(self) -> None:
        """The client has caught up. Called by the loop."""
        self.client_full = False
        self._upstream.resume_reading()
        self._turns.client_reads()
        self.go_on()

    def end(self, sqlstate: Sqlstate, message: str) -> None:
        """End the session with an error that the client sees, unless it would take it for a part of a message."""
        if self._turns.stage is not Stage.CLOSED:
            if not self._relay.inside_message:
                self.to_client(error_response("FATAL", sqlstate, message).encode())
            self._close()

    # -- from elsewhere in the proxy: see `OpenSession`

    def interrupt(self) -> bool:
        """Cancel what waits in the proxy; False when nothing does, so that it is for Postgres to cancel."""
        return self._turns.interrupt()

    def drain(self) -> None:
        """End the session as soon as no turn and no transaction block is under way; at once, if none is."""
        self._draining = True
        self.go_on()

    def rested(self) -> bool:
        """Tell whether the session was idle ever since the last call; its next bytes take the slow path once."""
        rested, self._rested = self._rested, self._between_turns
        self.look_again()
        return rested and self._rested

    def look_again(self) -> None:
        """Take the slow path with the next bytes, once."""
        self._replies = self._replies_behind = _NO_REPLIES

    # -- Postgres's side

    def upstream_received(self, data: bytes) -> None:
        """Take bytes from Postgres."""
        if self._turns.stage is Stage.CLOSED:
            return
        if self._through.under_way is not None:
            if self._relay.between_messages and (answer := self._through.answered(data)):
                self._client.write(answer)
                if self._through.moved and self._replies_behind is not _NO_REPLIES:
                    self._arm()
                elif self._conversation.keeper.state is not None:  # which a write may have made uncertain
                    self._replies = self._replies_behind
                if self.client_full or self._draining or self._keeps_sessions:
                    self.go_on()
                return
            self._through.unfold()
        if self._express.waits and self._take_whole(data):
            return
        sink = self._turns.sink or self._unasked
        try:
            passed = self._relay.feed(data, sink)
        except ProtocolViolation as violation:
            self.end(Sqlstate.CONNECTION_FAILURE, f"tidegate: Postgres broke the protocol: {violation.message}")
            return
        if passed:
            # Not written before it has been learnt from: what others read has to follow an acknowledgement.
            self._output.hold(passed)
        self._told_why |= sink.fatal
        if self._unasked.setting_changed:
            self._unasked.setting_changed = False
            self.forget_state()
        self._turns.answered()
        self._output.flush()
        if self.client_full and not self._turns.reads_on():
            self._upstream.pause_reading()

    def _take_whole(self, data: bytes) -> bool:
        """Take what came first for a turn that went the express way, if it is its whole answer."""
        self._output.hold(data)  # written once it has been learnt from
        if self._express.answered(data, in_step=self._relay.between_messages):
            return True
        self._output.take_back()
        return False

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres ended the connection: so does the session, unless Postgres may be down and hits are served then."""
        if self._can_be_orphaned():
            self._turns = OrphanRunner(self._conversation, self)
            self._replies = _NO_REPLIES
            self._database.suspect_outage()
            self.go_on()
        else:
            self._say_goodbye()

    def outage_changed(self) -> None:
        """Postgres is down, or back, or neither was the case: what waits for that goes on."""
        if self._conversation.orphaned:
            self.go_on()

    def upstream_full(self, *, full: bool) -> None:
        """Postgres reads slower than the client writes, or has caught up."""
        self._upstream_full = full
        self._regulate()

    def forget_state(self) -> None:
        """Ask Postgres for the session's state before the next decision."""
        self._conversation.keeper.forget()
        self.look_again()

    # -- what the turns ask for

    def to_client(self, data: bytes) -> None:
        """Send to the client, at the latest when the event that is handled now is over."""
        self._output.put(data)

    def show(self) -> None:
        """Send to the client now what it was sent so far: what follows is nothing that it should wait for."""
        self._output.flush()

    def to_postgres(self, data: bytes) -> None:
        """Send to Postgres."""
        self._upstream.write(data)

    def go_on(self) -> None:
        """Handle what the client has sent, as far as it can be handled now.

        No turn is begun while the client does not read: a client that asks ahead would pile up its answers here.
        """
        self._rested = False
        if self._is_caught_up:
            self._output.flush()
            self._arm()
            return
        turns = self._turns
        waits = self._conversation.orphaned and not self._goes_on_orphaned()
        try:
            while not waits and (turns.goes_on_upstream or (turns.stage is Stage.IDLE and not self.client_full)):
                if self._draining and self._between_turns:
                    self.end(Sqlstate.ADMIN_SHUTDOWN, SHUTDOWN_MESSAGE)
                    break
                within_turn, copying, copied = turns.goes_on_upstream, turns.copying, turns.copied
                part = self._assembler.next_part(within_turn=within_turn, copying=copying, copied=copied)
                if part is None:
                    break
                self._handle(part)
        except ProtocolViolation as violation:
            self.end(violation.sqlstate, violation.message)
        self._output.flush()
        self._arm()
        self._regulate()
        if not waits:
            self._unfinished.watch(begun=self._turns.stage is Stage.IDLE and self._assembler.buffered > 0)
        self._ask_ahead()

    @property
    def _is_caught_up(self) -> bool:
        """Whether nothing is left to do but to write: the common case when a turn has been answered."""
        idle = self._turns.stage is Stage.IDLE and self._assembler.between_turns and not self._unfinished.awaited
        return idle and self._reading and not (self._draining or self._keeps_sessions)

    def _hurry(self) -> None:
        self._assembler.hurry()
        self.go_on()
        self._unfinished.forget()  # what is left is a part of a message, which only the client can go on with

    def _handle(self, part: Part) -> None:
        if part.kind is PartKind.TERMINATE:
            self._upstream.write(part.raw)
            self._close()
        elif part.kind is PartKind.COPY:
            self._upstream.write(part.raw)
        elif self._turns.goes_on_upstream:
            self._turns.go_on(part)
        else:
            self._turns.begin(part)

    # -- without a connection to Postgres

    def _ask_ahead(self) -> None:
        """Know the state in time, where hits are to be served when Postgres cannot be asked: a pool may let it idle."""
        turns, conversation = self._turns, self._conversation
        if self._keeps_sessions and self._cached and isinstance(turns, TurnRunner):
            idle = self._between_turns and self._assembler.between_turns and not self._draining
            if idle and conversation.status == OUTSIDE_BLOCK and conversation.keeper.wanted():
                turns.learn_state(lambda: None)

    def _can_be_orphaned(self) -> bool:
        """Whether the session may go on without its connection: between turns, with all that a hit rests on known."""
        idle = self._turns.stage is Stage.IDLE and not (self._turns.inside_turn or self._relay.inside_message)
        may = self._cached and self._database.outage.may_serve and not (self._told_why or self._draining)
        return idle and may and self._conversation.can_be_orphaned

    def _goes_on_orphaned(self) -> bool:
        """Tell whether the session goes on; end it when Postgres is back, or there is nothing to be served any more."""
        fate = self._outliving.fate(idle=self._turns.stage is Stage.IDLE, draining=self._draining)
        if fate is Fate.OVER:
            self.end(Sqlstate.CONNECTION_FAILURE, _OVER)
        elif fate is Fate.BACK:
            self.end(Sqlstate.ADMIN_SHUTDOWN, _BACK)
        elif fate is Fate.MEANT:
            self._say_goodbye()
        return fate is Fate.GOES_ON

    def _say_goodbye(self) -> None:
        """End the session with Postgres's own words, or, when it did not say why, with ours."""
        self.to_client(self._unasked.release_farewell())
        if self._told_why or self._unasked.fatal:
            self._close()
        else:
            self.end(Sqlstate.CONNECTION_FAILURE, "tidegate: the connection to Postgres was lost")

    # -- flow

    @property
    def _between_turns(self) -> bool:
        """Whether no turn is under way, and the client is in no transaction block."""
        turns = self._turns
        idle = turns.stage is Stage.IDLE and not turns.inside_turn
        return idle and self._conversation.shown_status is TransactionStatus.IDLE

    def _arm(self) -> None:
        """Let the hot path answer, while nothing is under way and everything that a reply rests on is known."""
        turns = self._turns
        idle = turns.stage is Stage.IDLE and not turns.inside_turn and self._assembler.between_turns
        idle = idle and not self._conversation.orphaned
        self._freshness = self._conversation.clock
        replies = self._conversation.ready_made() if idle and not self._draining else None
        self._replies = _NO_REPLIES if replies is None else replies

    def _regulate(self) -> None:
        """Read from the client only while what it sends can go somewhere."""
        stage = self._turns.stage
        if stage is Stage.CLOSED:
            return
        ahead = stage is not Stage.IDLE and self._assembler.buffered > _MAX_BUFFERED_BYTES
        reading = not (self.client_full or self._upstream_full or ahead)
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._client.resume_reading()
            else:
                self._client.pause_reading()

    def _close(self) -> None:
        if self._turns.stage is Stage.CLOSED:
            return
        idle = self._turns.stage is Stage.IDLE
        self._turns.close()
        self._unfinished.forget()
        self._replies = _NO_REPLIES
        self._output.flush()
        if idle:
            self._upstream.write(TERMINATE)
        self._upstream.close()
        self._client.close()
