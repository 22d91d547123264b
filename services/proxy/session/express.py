"""The express way: turns of a usual form whose statement is known go out without being planned again.

It holds outside of blocks, between turns, with the session's state known: where a ready-made reply would hold. In a
block it only learns what may go through. A turn that is not taken is cut, read and planned like any other: nothing has
happened yet. A read that waits, for Redis or for
another session's query, is carried out by a `ReadRun` like any other, but not planned again. What comes back is taken
whole where it came whole; otherwise message by message, since to the session this is a turn like any other.
"""

from time import thread_time

from services.proxy.admission.cost import Work
from services.proxy.admission.economy import read_number
from services.proxy.cache.entry import Entry
from services.proxy.reasons import Reason
from services.proxy.session.conversation import IN_BLOCK
from services.proxy.session.demand import demand
from services.proxy.session.exchange import Ack, Exchange, Segment
from services.proxy.session.known_statements import KnownStatements, Route, depends_on_values
from services.proxy.session.lookup import MAX_REPLY_BYTES
from services.proxy.session.planning import NO_EFFECT, Effect, Plan, Step
from services.proxy.session.reply_table import ReplyTable
from services.proxy.session.requests import Request, decode_part, decode_turn, one_turn, read_requests
from services.proxy.session.single_read import Asked, SingleRead, whole_reply
from services.proxy.session.templates import Template
from services.proxy.session.through import WayThrough
from services.proxy.session.turn_form import NO_VALUES, TurnForm, read_bound
from services.proxy.session.turn_runner import TurnRunner
from services.proxy.session.whole_answer import whole_answer
from services.proxy.sql.verdict import NameSpace
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus
from services.shared.runtime.settings import Consistency

_READY = READY_FOR_QUERY[TransactionStatus.IDLE]


class Express:
    """The express way of one session."""

    __slots__ = ("_began", "_economies", "_exchange", "_spent", "_turns", "_way_through", "_work")

    def __init__(self, turns: TurnRunner, way_through: WayThrough) -> None:
        """Stand beside the runner of the session's turns.

        Args:
            turns: The runner.
            way_through: Where turns of a statement go through from the second on, if they may.
        """
        self._turns = turns
        self._way_through = way_through
        self._exchange: Exchange | None = None  # that was sent here, and of whose answer nothing has come
        self._economies = turns.conversation.database.templates.economies
        self._work: Work | None = None  # what the work for the turn is noted as; None: it is not measured
        self._began = self._spent = 0.0  # processor seconds: at its beginning; for all before the answer

    def take(self, data: bytes, form: TurnForm, name: bytes, table: ReplyTable) -> bool:
        """Carry out a turn that does not go through, or begin to; False: it is not taken, and nothing is sent.

        Args:
            data: What came from the client, behind a whole turn.
            form: Its form.
            name: What names its statement; see `statement_name`.
            table: What is ready for the session's turns.
        """
        conversation = self._turns.conversation
        keeper = conversation.keeper
        state = keeper.state
        in_block, held = conversation.status == IN_BLOCK, conversation.block
        if state is None or keeper.wanted() or (held is not None and held.settings):
            return False
        if table.known is None:
            table.known = KnownStatements(NameSpace(state.schemas), in_block=in_block)
        found = table.known.find(form, conversation.database.templates, state, lambda: self._read(data))
        if found is None:
            return False
        route, template = found
        if held is None or route.refusal:
            self._way_through.learn(form, name, table, route, template)
        if in_block or held is not None:
            return False  # for now: what may go through does so from the next time on
        self._began = thread_time() if self._economies.measures() else 0.0
        refusal = route.refusal or state.refusal
        if not refusal:
            return self._take_read(data, form, route, template)
        conversation.database.statistics.forwarded[refusal] += 1
        effect = route.effect_of(data, form, template)
        self._send(data, form, route, None if effect.writes else self._economies.prices.forwarding, effect=effect)
        return True

    @property
    def waits(self) -> bool:
        """Whether a turn went this way, of whose answer nothing has come."""
        return self._exchange is not None

    def answered(self, data: bytes, *, in_step: bool) -> bool:
        """Take what came from Postgres first for a turn that went this way, if it is all of a usual answer.

        Args:
            data: What came.
            in_step: It begins with a message.
        """
        exchange, self._exchange = self._exchange, None
        answer = whole_answer(data) if in_step else None
        if exchange is None or answer is None:
            return False
        work, began = self._work, thread_time() if self._work is not None else 0.0
        exchange.take_whole(answer, TransactionStatus.IDLE)
        self._turns.answered()
        if work is not None:
            work.note(self._spent + thread_time() - began)
        return True

    def _read(self, data: bytes) -> Request | None:
        """Read a turn whose statement is not known."""
        conversation = self._turns.conversation
        statements = conversation.statements
        messages = decode_turn(data)
        if messages is None:
            return None
        requests = read_requests(messages, statements.names, statements.unnamed, conversation.meaning)
        return requests[0][0] if requests is not None and len(requests) == 1 else None

    def _send(
        self,
        data: bytes,
        form: TurnForm,
        route: Route,
        work: Work | None,
        read: SingleRead | None = None,
        effect: Effect = NO_EFFECT,
    ) -> None:
        statements = self._turns.conversation.statements
        acks: list[Ack] = []
        if form.simple:
            statements.expect_query()
        elif form.parses and route.prepared is not None:
            acks = [statements.expect_parse(route.prepared)]
        self._exchange = Exchange([Segment(acks, None if read is None else read.recorder)])
        self._turns.carry(data, self._exchange, effect, read)
        self._work = work if self._began else None
        if self._began:
            self._spent = thread_time() - self._began

    # -- reads

    def _take_read(self, data: bytes, form: TurnForm, route: Route, template: Template) -> bool:
        conversation = self._turns.conversation
        state, database = conversation.keeper.state, conversation.database
        if state is None or state.server is not None:
            return False
        economy = template.economy
        text = form.head if route.prepared is None else route.prepared.text
        number = read_number(text, data[form.bind_at : form.bind_end])
        # While Postgres is down, what is there is all there is.
        away = "" if database.outage.serves else economy.turns_away(number)
        if away:
            return self._turn_away(data, form, route, away)
        bound = NO_VALUES if form.simple else read_bound(data, form)
        if bound is None or depends_on_values(bound):
            return False
        lookup = conversation.lookup
        demanded = demand(database.templates.promise, state)
        if demanded.strong or demanded.level is Consistency.OFF:
            return False
        plan = route.plan(form, template, bound, state, demanded)
        lookup.note_read()
        refused = lookup.keep_refusal(plan, state)
        refusal = refused or lookup.gate_refusal(plan)
        if database.outage.serves if refusal else database.auditor.watchful:
            return False
        entry = None if refusal else lookup.from_l1(plan)
        if entry is not None:
            self._answer(Asked(data, plan, state), entry)
            if self._began:
                economy.looked_up.note(thread_time() - self._began)
        elif lookup.finds_elsewhere(plan, refusal):
            return self._ask_elsewhere(data, form, plan)
        else:
            database.statistics.misses += 1
            database.statistics.forwarded[refusal or Reason.NOT_CACHED] += 1
            miss = lookup.begin_miss(plan, state, refusal, refused)
            if miss is None and refusal == Reason.OWN_WRITE:
                self._way_through.note_own_write(number)
            read = SingleRead(self._turns, Asked(data, plan, state), miss)
            self._send(data, form, route, economy.miss, read)
        return True

    def _ask_elsewhere(self, data: bytes, form: TurnForm, plan: Plan) -> bool:
        """Wait for Redis, or for another session's query, with a turn whose plan is known."""
        part = one_turn(data)
        messages = None if part is None else decode_part(part)
        if part is None or messages is None or plan.request is None:
            return False
        self._turns.take_apart(part, messages, (Step(plan.request, len(messages) - (not form.simple), plan),))
        return True

    def _turn_away(self, data: bytes, form: TurnForm, route: Route, reason: str) -> bool:
        """Forward a read that it does not pay to cache."""
        statistics = self._turns.conversation.database.statistics
        statistics.misses += 1
        statistics.forwarded[reason] += 1
        self._send(data, form, route, self._economies.prices.forwarding)
        return True

    def _answer(self, asked: Asked, entry: Entry) -> None:
        """Answer a read from memory, and have the reply ready for when the same bytes come again."""
        conversation, request = self._turns.conversation, asked.plan.request
        assert request is not None
        if request.sets_unnamed:
            conversation.statements.answered_here(request.unnamed)
        if len(entry.answer.rows) > MAX_REPLY_BYTES:
            for piece in (*request.pieces(entry.answer), _READY):
                self._turns.to_client(piece)
            return
        payload = whole_reply(asked.plan, entry)
        self._turns.to_client(payload)
        conversation.remember_read(asked.turn, asked.plan, payload, entry, asked.state)
