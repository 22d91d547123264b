"""Brings one session's turns to their ends, one after the other: decides each when the one before it is answered.

A turn of proven reads is taken apart (`read_run`). Every other turn goes upstream whole and verbatim, and in front of
it what Postgres does not know yet: a BEGIN that was held back, an unnamed statement that the cache has answered.

A client may ask for answers before the end of its turn (Flush). The parts that it cuts its turn into so are decided one
by one: what prepares statements goes upstream by itself, reads are taken apart. From the first part that is neither on,
the rest of the turn goes upstream as one. What was before it has left nothing there but the transaction that Postgres
begins for a turn: behind a read that was answered here, a read of the proxy's own begins it.

A simple query needs no Sync, but where it stands behind other messages of a turn and one of these fails, Postgres skips
it as it skips everything to the Sync. Whether its answer will come has to be known, so it waits for theirs.
"""

from collections.abc import Callable, Sequence
from functools import partial

from services.proxy.cached_database import CachedDatabase
from services.proxy.session.block import Prelude, failed_block, prelude, read_before, uses_unnamed_portal
from services.proxy.session.conversation import OUTSIDE_BLOCK, Conversation
from services.proxy.session.exchange import Exchange, Question, Segment
from services.proxy.session.follow_up import Portal
from services.proxy.session.planning import NO_EFFECT, Effect, Step, TurnPlan
from services.proxy.session.read_run import ReadRun
from services.proxy.session.requests import decode_part
from services.proxy.session.single_read import SingleRead
from services.proxy.session.stage import Stage
from services.proxy.session.turns import Part
from services.proxy.session.wire import Wire
from services.proxy.session.write_scope import SharedWrites
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import FrontendCode, TransactionStatus
from services.shared.pgwire.frontend import FLUSH, SYNC, Flush, FrontendMessage, Sync
from services.shared.pgwire.sqlstate import Sqlstate

_FAILED_BLOCK = int(TransactionStatus.FAILED)
_NO_BLOCK = "tidegate: the transaction block could not be begun in Postgres"


class TurnRunner:
    """One session's turns.

    Attributes:
        stage: Where the turn is.
        conversation: What holds in the session.
        inside_turn: Parts of a turn have been answered, and its end has not come.
        sink: What sees the bytes that Postgres sends for the turn; None between turns.
    """

    # fmt: off
    __slots__ = (
        "_asked", "_behind", "_effect", "_exchange", "_portal", "_read", "_refusal", "_run", "_skipping", "_statistics",
        "_sync_follows", "_unanswered", "_unread", "_wire", "conversation", "inside_turn", "sink", "stage",
    )
    # fmt: on

    def __init__(self, database: CachedDatabase, wire: Wire, refusal: str, shared: SharedWrites | None) -> None:
        """Begin outside of a block.

        Args:
            database: The cache.
            wire: The connections.
            refusal: Why nothing of this session is cached; empty when it may be.
            shared: The writes of the sessions that it shares its own with, if there are such.
        """
        self._wire = wire
        self._refusal = refusal
        self._statistics = database.statistics
        self._asked: Callable[[Question], None] | None = None
        self._exchange: Exchange | None = None
        self._run: ReadRun | SingleRead | None = None
        self._effect = NO_EFFECT
        self._unread = False  # some of what was forwarded could not be read
        self._sync_follows = True  # behind what was forwarded
        self._behind: Part | None = None  # what waits for the answers to what its turn began with
        self._unanswered = 0  # messages of the turn that get one answer each; as many answers may have come meanwhile
        self._skipping = False  # a part of the turn failed: the rest is skipped to the Sync
        self._portal: Portal | None = None  # what the unnamed portal holds inside of a turn
        self._read = False  # a read of the turn was answered, whose transaction Postgres would go on with
        self.inside_turn = False
        self.stage = Stage.IDLE
        self.conversation = Conversation(database, shared)
        self.sink: Exchange | Question | None = None

    @property
    def goes_on_upstream(self) -> bool:
        """Whether a turn is on its way to Postgres as a whole, so that what comes of it is passed on at once."""
        return self.stage is Stage.FORWARDED and not (self._run or self._behind or self.inside_turn)

    @property
    def copying(self) -> bool:
        """Whether Postgres asked for COPY data."""
        return self._exchange is not None and self._exchange.copying

    @property
    def copied(self) -> bool:
        """Whether it did so in the turn that is under way, though the COPY may have failed."""
        return self._exchange is not None and self._exchange.copied

    def learn_state(self, then: Callable[[], None]) -> None:
        """Ask for the session's state before its first turn."""

        def answered(question: Question) -> None:
            self.conversation.learn_state(question)
            then()
            self._wire.go_on()

        self._ask(self.conversation.state_question(), answered)

    def begin(self, part: Part) -> None:
        """Take a part of a turn; all that was before it has been answered."""
        if self._skipping:
            self._skip(part)
        elif self._refusal:
            self._statistics.forwarded[self._refusal] += 1
            self._forward(part, None, NO_EFFECT)
        elif self.conversation.wants_state(part):
            self._decide_after(part, self.conversation.state_question(), self.conversation.learn_state)
        else:
            self._decide(part)

    def go_on(self, part: Part) -> None:
        """Take a further part of the turn that is on its way to Postgres."""
        messages, plan = self.conversation.plan_further(part)
        if self._exchange is not None and (part.alone or self.conversation.wants_token(messages, plan.effect)):
            self._behind = part
            self._wire.to_postgres(FLUSH)
            self._decide_behind(self._exchange, part)
        else:
            self._forward(part, messages, plan.effect)

    def answered(self) -> None:
        """Look at what Postgres has sent, after each chunk."""
        sink = self.sink
        if isinstance(sink, Question):
            if sink.done:
                self._question_answered(sink)
        elif sink is not None:
            self.conversation.hear(sink)
            if sink.prelude_failed and not self._sync_follows:
                self._wire.end(Sqlstate.CONNECTION_FAILURE, _NO_BLOCK)  # Postgres skips to a Sync that will not come
            elif sink.done:
                self._exchange_done(sink)
            elif self._behind is not None:
                self._decide_behind(sink, self._behind)
                self._wire.go_on()
            elif sink.copying:
                self._wire.go_on()  # what the client has sent ahead may belong to the COPY

    def interrupt(self) -> bool:
        """The client cancels what it waits for. False when that is not here: what Postgres runs, Postgres cancels."""
        if self.stage is not Stage.ASKING_CACHE or not isinstance(self._run, ReadRun):
            return False
        self._statistics.interrupted += 1
        self._run.interrupt()
        self._wire.go_on()
        return True

    def client_reads(self) -> None:
        """The client has caught up."""
        if self.stage is Stage.CLIENT_FULL and isinstance(self._run, ReadRun):
            self.stage = Stage.IDLE
            self._run.go_on()

    def reads_on(self) -> bool:
        """The client reads slowly: tell whether Postgres is read all the same; see `ReadRun.reads_on`."""
        return self._run is not None and self._run.reads_on()

    def close(self) -> None:
        """Nothing of this session goes on."""
        self.stage = Stage.CLOSED
        if self._run is not None:
            self._run.abandon()

    # -- a turn that is taken apart

    def to_client(self, data: bytes) -> bool:
        """Send to the client; tell whether it reads as fast as we write."""
        self._wire.to_client(data)
        return not self._wire.client_full

    def show(self) -> None:
        """Send to the client now what it was sent so far."""
        self._wire.show()

    def send(self, raw: bytes, exchange: Exchange, *, sync_follows: bool = True) -> None:
        """Send to Postgres what has this answer."""
        self._exchange = self.sink = exchange
        self._sync_follows = sync_follows
        self.stage = Stage.FORWARDED
        self._wire.to_postgres(raw)

    def expect(self, exchange: Exchange, *, sync_follows: bool = True) -> None:
        """What was sent to Postgres has this answer; `sync_follows`: it ends with a Sync."""
        self._exchange = self.sink = exchange
        self._sync_follows = sync_follows
        self._unanswered = 0

    def carry(self, raw: bytes, exchange: Exchange, effect: Effect, read: SingleRead | None) -> None:
        """Send a whole turn to Postgres whose answer is expected already; `read`: what becomes of it."""
        self.conversation.writes.begin(effect)
        self._effect = effect
        self._unanswered = 0
        self._run = read
        self.send(raw, exchange)

    def take_apart(self, part: Part, messages: Sequence[FrontendMessage], steps: tuple[Step, ...]) -> None:
        """Begin a turn, or a part of one, that consists of these steps."""
        self._run = run = ReadRun(self, self.conversation, part, messages, steps)
        run.go_on()

    def wait(self) -> None:
        """The cache is asked: the turn goes on later."""
        self.stage = Stage.ASKING_CACHE

    def wait_for_client(self) -> None:
        """The client reads slowly: the turn goes on later."""
        self.stage = Stage.CLIENT_FULL

    def resume(self) -> None:
        """A wait for the cache is over, and what came of it is done."""
        self._wire.go_on()

    def finish(self, *, whole: bool, failed: bool, portal: Portal | None, read: bool = False) -> None:
        """A turn, or a part of one, is answered.

        Args:
            whole: To its end.
            failed: The rest of it is skipped.
            portal: What the unnamed portal holds now, if the turn goes on.
            read: The last thing that was run is a read, if the turn goes on.
        """
        self._run = None
        self.stage = Stage.IDLE
        self.inside_turn = not whole
        self._skipping = failed and not whole
        self._read = read and not whole
        self._portal = None if whole else portal
        if self._portal is not None:
            self.conversation.portals.answered_here(self._portal.text)

    def _skip(self, part: Part) -> None:
        """Drop what Postgres would skip: all up to a Sync."""
        if part.ends_with(FrontendCode.SYNC):
            self.finish(whole=True, failed=False, portal=None)
            self._wire.to_client(READY_FOR_QUERY[self.conversation.shown_status])

    # -- a turn that is forwarded whole

    def _decide(self, part: Part) -> None:
        messages = decode_part(part)
        outside = self.conversation.status == OUTSIDE_BLOCK
        if messages == [Flush()] and outside:
            self.inside_turn = True  # all there is has been sent
            return
        if messages == [Sync()] and self.inside_turn:
            self.finish(whole=True, failed=False, portal=None)
            self._wire.to_client(READY_FOR_QUERY[self.conversation.shown_status])
            return
        ends_nothing = self._read and part.alone  # the turn's transaction goes on behind it
        plan = self.conversation.plan(part, messages, inside_turn=self.inside_turn and not ends_nothing)
        if plan.steps and messages is not None:
            self.take_apart(part, messages, plan.steps)
        else:
            self._forward_whole(part, messages, plan)

    def _forward_whole(
        self, part: Part, messages: list[FrontendMessage] | None, plan: TurnPlan, *, token_is_set: bool = False
    ) -> None:
        """Hand the first part of a turn to Postgres, and in front of it what is held back."""
        conversation = self.conversation
        block = conversation.block
        if block is not None and block.failed:
            self._decide_after(part, failed_block(block), self._block_has_failed)
            return
        if not token_is_set and conversation.wants_token(messages, plan.effect):
            then = partial(self._forward_whole, part, messages, plan, token_is_set=True)
            self._decide_after(part, conversation.token_prelude().raw + SYNC, lambda question: None, then)
            return
        self._statistics.forwarded[plan.refusal] += 1
        uses_portal = uses_unnamed_portal(messages or ())
        # Outside of a block, a Sync in place of a Flush makes no difference to what runs nothing.
        flushed = part.ends_with(FrontendCode.FLUSH) and conversation.status == OUTSIDE_BLOCK
        alone = plan.runs_nothing and (part.last or flushed) and not uses_portal
        first: Prelude | None = None
        if block is not None and not alone:
            first = prelude(block, messages or ())
            self._statistics.blocks_sent += 1
            conversation.block = None
        elif uses_portal and self._portal is not None:
            first = Prelude(*self._portal.rebuild_portal())
        elif self._read and not alone:
            first = read_before()
        if alone and not part.last:
            self._forward_by_itself(part, messages or [])
        else:
            self._forward(part, messages, plan.effect, first)

    def _decide_behind(self, exchange: Exchange, part: Part) -> None:
        """Hand a part to Postgres once all in front of it is answered; else end a simple query's turn there."""
        failed, conversation = exchange.failed or exchange.prelude_failed, self.conversation
        if not (failed or exchange.copying or exchange.answers >= self._unanswered):
            return
        self._behind = None
        if failed and part.alone:
            self.inside_turn = True  # what the client sends up to its Sync is skipped here
            exchange.shows_ready = False
            self._wire.to_postgres(SYNC)
            return
        if not (part.alone or failed or exchange.copying):
            self._wire.to_postgres(exchange.hide(conversation.token_prelude()))
        messages, plan = conversation.plan_further(part)
        self._forward(part, messages, plan.effect)

    def _forward_by_itself(self, part: Part, messages: list[FrontendMessage]) -> None:
        """Hand a part that only prepares to Postgres, as a turn of its own: a Sync in place of its Flush."""
        statements = self.conversation.statements
        catch_up, acks = statements.catch_up(messages)
        acks.extend(statements.expected(messages, self.conversation.meaning))
        self.inside_turn = True
        self.send(catch_up + part.raw[: -len(FLUSH)] + SYNC, Exchange([Segment(acks)], shows_ready=False))

    def _block_has_failed(self, question: Question) -> None:
        """Postgres is in the failed block that the client is in."""
        self._statistics.blocks_sent += 1
        self.conversation.block = None
        self.conversation.status = question.status
        if question.status != _FAILED_BLOCK:
            self._wire.end(Sqlstate.CONNECTION_FAILURE, _NO_BLOCK)

    def _forward(
        self, part: Part, messages: list[FrontendMessage] | None, effect: Effect, first: Prelude | None = None
    ) -> None:
        """Hand a turn, or a further part of one, to Postgres verbatim."""
        conversation = self.conversation
        statements = conversation.statements
        conversation.portals.forward(messages or (), statements.names, statements.unnamed)
        catch_up, acks = statements.catch_up(messages or (), begins_block=first is not None)
        conversation.writes.begin(effect)
        acks.extend(statements.expected(messages or (), conversation.meaning))
        self._unread = self._unread or messages is None
        if effect.session:
            conversation.keeper.forget()
        raw = catch_up + part.raw if catch_up else part.raw
        if self._exchange is not None:
            self._unanswered += part.answers
            self._exchange.segments[0].expect(acks)
            self._effect = self._effect.union(effect)
            self._wire.to_postgres(raw)
            return
        self._effect = effect
        self._unanswered = part.answers
        self.inside_turn = False  # from here on the turn is Postgres's
        self._portal = None
        self._read = False
        shows_ready = conversation.block is None
        follows = not part.alone
        if first is None:
            self.send(raw, Exchange([Segment(acks)], shows_ready=shows_ready), sync_follows=follows)
        else:
            self.send(first.raw + raw, Exchange([Segment(acks)], closes=first.closes), sync_follows=follows)

    def _exchange_done(self, exchange: Exchange) -> None:
        """Postgres has answered: learn from it, and go on."""
        self._exchange = self.sink = None
        self.conversation.learn_of(exchange, self._effect, all_read=not self._unread)
        self._effect, self._unread = NO_EFFECT, False
        block = self.conversation.block
        if exchange.prelude_failed and block is not None and exchange.status != OUTSIDE_BLOCK:
            self._wire.end(Sqlstate.CONNECTION_FAILURE, _NO_BLOCK)  # the block of one read was not ended
            return
        if self._run is not None:
            self._run.answered_upstream(exchange)
        elif self.inside_turn:
            self.finish(whole=False, failed=exchange.failed or exchange.prelude_failed, portal=None, read=self._read)
        else:
            if block is not None:
                self._wire.to_client(READY_FOR_QUERY[block.status])
            self.stage = Stage.IDLE
        self._wire.go_on()

    # -- questions of the proxy's own

    def _decide_after(
        self, part: Part, raw: bytes, learn: Callable[[Question], None], then: Callable[[], None] | None = None
    ) -> None:
        """Ask Postgres something, and decide the turn, or do what is given, when it has answered."""

        def answered(question: Question) -> None:
            if question.canceled and part.whole:
                self._fail(part, question)
            else:
                learn(question)
                if self.stage is not Stage.CLOSED:
                    (then or partial(self._decide, part))()
            self._wire.go_on()

        self._ask(raw, answered)

    def _fail(self, part: Part, question: Question) -> None:
        """The client has cancelled what it waits for, which was our question: to it, its own statement failed."""
        conversation = self.conversation
        conversation.status = question.status
        if conversation.block is not None:
            conversation.block.failed = True
        self._wire.to_client(question.canceled)
        self.finish(whole=part.last, failed=True, portal=None)
        if part.last:
            self._wire.to_client(READY_FOR_QUERY[conversation.shown_status])

    def _ask(self, raw: bytes, answered: Callable[[Question], None]) -> None:
        self.stage = Stage.ASKING_POSTGRES
        self.sink = Question()
        self._asked = answered
        self._wire.to_postgres(raw)

    def _question_answered(self, question: Question) -> None:
        answered, self._asked = self._asked, None
        self.sink = None
        self.stage = Stage.IDLE
        if answered is not None:
            answered(question)
