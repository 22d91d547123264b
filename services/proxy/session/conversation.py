"""What holds in one session: its state, its statements, its block, its own writes. What a turn is planned with."""

import re
from collections.abc import Sequence
from dataclasses import replace

from services.proxy.cache.entry import ALWAYS_LIVE, Entry, Reply
from services.proxy.cache.freshness import Freshness
from services.proxy.cached_database import CachedDatabase
from services.proxy.session.acknowledging import Acknowledging
from services.proxy.session.ageing import NEVER
from services.proxy.session.block import HeldBlock, Prelude, followed
from services.proxy.session.demand import BoundedClock, demand
from services.proxy.session.exchange import Exchange, Question
from services.proxy.session.follow_up import FollowUp
from services.proxy.session.lookup import Lookup
from services.proxy.session.orphan import Loner, answer_alone
from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import Effect, Phase, Plan, Setting, Step, TurnPlan, plan_turn
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import LookUp, Meaning, Prepared, meaning_of
from services.proxy.session.reply_table import ReplyTable, behind_name, used_name
from services.proxy.session.requests import Request, decode_part, read_requests
from services.proxy.session.row_names import looked_at
from services.proxy.session.state import SessionState, prepared_names
from services.proxy.session.state_keeper import StateKeeper
from services.proxy.session.statements import SessionStatements
from services.proxy.session.turn_form import turn_form
from services.proxy.session.turn_summary import summary
from services.proxy.session.turns import Part
from services.proxy.session.write_scope import SharedWrites
from services.proxy.session.write_token import prepares_token, set_token
from services.proxy.sql.verdict import NameSpace
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import FrontendMessage, Parse

OUTSIDE_BLOCK, IN_BLOCK = int(TransactionStatus.IDLE), int(TransactionStatus.IN_BLOCK)

_FAILED = int(TransactionStatus.FAILED)
_READ = re.compile(rb"\s*(?:select|with)\b", re.IGNORECASE)
_LASTS_FROM = 16  # replies: names of sessions that are soon over are not held by what these have read
# These tell the tables of ready-made replies apart.
_HELD, _UPSTREAM, _LISTENS, _DEBUGS, _REFUSED = b"T", b"U", b"L", b"D", b"R"


class Conversation:
    """What holds in one session between two turns.

    Attributes:
        database: The cache.
        status: The transaction status upstream.
        block: The block that is held back, if there is one.
        keeper: The session's state.
        statements: What statement names mean.
        writes: The session's own writes.
        acknowledging: When they have to be seen, and by whom.
        lookup: Its way into the cache.
        portals: What the portals of Postgres's block run.
        clock: Until when the session's bound lets hits be served.
        orphaned: The connection to Postgres is lost, and the session goes on without.
    """

    # fmt: off
    __slots__ = (
        "_strong", "acknowledging", "block", "clock", "database", "keeper", "lookup", "orphaned", "portals",
        "statements", "status", "writes",
    )
    # fmt: on

    def __init__(self, database: CachedDatabase, shared: SharedWrites | None) -> None:
        """Begin outside of a block; see `Lookup` for the arguments."""
        self.database = database
        self.status = OUTSIDE_BLOCK
        self.block: HeldBlock | None = None
        self.keeper = StateKeeper(database)
        self.statements = SessionStatements(database.names)
        self.writes = OwnWrites(counted=True)
        self.acknowledging = Acknowledging(database, self.writes, shared)
        self.lookup = Lookup(database, self.writes, shared)
        self.portals = Portals()
        self.clock: Freshness | BoundedClock = database.freshness
        self._strong = False
        self.orphaned = False

    @property
    def shown_status(self) -> TransactionStatus:
        """What the client has to be told in ReadyForQuery."""
        return self.block.status if self.block is not None else TransactionStatus(self.status)

    def wants_state(self, part: Part) -> bool:
        """Tell whether Postgres has to be asked for the session's state before a turn is decided.

        In a block of Postgres's it is asked only where a read is prepared, perhaps to be used after the block: what its
        names meant could never be told later. (To ask takes a snapshot, and so does the Parse of a read.)
        """
        if self.orphaned:
            return False
        if self.status == OUTSIDE_BLOCK:
            return self.keeper.wanted()
        if self.status != IN_BLOCK or self.keeper.state is not None or not self.keeper.wanted():
            return False
        parses = (message for message in decode_part(part) or () if isinstance(message, Parse))
        return any(parse.statement and _READ.match(parse.sql) for parse in parses)

    def state_question(self) -> bytes:
        """Return the turn that asks Postgres for the session's state."""
        return self.keeper.question(names=self.statements.any_named)

    def wants_token(self, messages: Sequence[FrontendMessage] | None, effect: Effect) -> bool:
        """Tell whether Postgres has to be told the session's token before this is forwarded, which may show it."""
        return self.status != _FAILED and (effect.token or prepares_token(messages or ()))

    def token_prelude(self) -> Prelude:
        """Return the messages that tell it."""
        return Prelude(*set_token(self.database.settings.name, on_standby=self.keeper.on_standby))

    def hear(self, exchange: Exchange) -> None:
        """A part of Postgres's answer has come, of which the client hears next."""
        if exchange.committed:
            exchange.committed = False
            if not (exchange.done and exchange.status == OUTSIDE_BLOCK):
                self.acknowledging.share_early()

    def learn_of(self, exchange: Exchange, effect: Effect, *, all_read: bool) -> None:
        """Postgres has answered what was forwarded.

        Args:
            exchange: Its answer.
            effect: What the statements may have done.
            all_read: Whether all that was forwarded could be read.
        """
        self.lookup.answered_upstream()
        self.statements.settle_segments(exchange.segments)
        if not all_read:
            self.statements.forget()
        elif effect.names:
            self.statements.doubt()
        if exchange.setting_changed:
            self.keeper.forget()
        self.status = exchange.status
        if exchange.status == OUTSIDE_BLOCK:
            self.outside()
        if exchange.failed and self.block is not None:
            self.block.failed = True

    def outside(self) -> None:
        """Postgres is outside a block, behind whatever was run."""
        self.portals.end_block()
        self.written()
        self.keeper.block_ended()

    def written(self) -> None:
        """Postgres is outside a block again, and says so: what was written is visible."""
        done = self.acknowledging.writes_visible()
        if done.writes is None or done.writes:
            self.keeper.wrote()

    def learn_state(self, question: Question) -> None:
        """Take Postgres's answer to the question for the session's state."""
        self.keeper.learn(question)
        state, database = self.keeper.state, self.database
        if state is not None and question.row is not None and self.statements.any_named:
            self.statements.confirm(prepared_names(question.row))
        if state is None:
            return
        demanded = demand(database.templates.promise, state)
        self._strong = demanded.strong
        self.writes.count(counted=demanded.own_writes)
        other = demanded.max_staleness != database.settings.max_staleness
        clock = database.freshness
        self.clock = BoundedClock(clock, demanded, database.prober.note_bound) if other else clock
        if state.token:
            self.acknowledging.take_token(state.token)  # though it was before: what is no token stands for this moment

    def plan(self, part: Part, messages: list[FrontendMessage] | None, *, inside_turn: bool) -> TurnPlan:
        """Plan a turn, or the next part of one.

        Args:
            part: The turn, or a part of it.
            messages: Its messages; None when they could not be read.
            inside_turn: What came before it in the same turn is answered, and was not forwarded as a part of a whole.
        """
        if not self.lookup.behind_own_ddl:
            self.statements.look_up(self._looked_up)
        setting = self._setting(whole=part.first and part.last)
        requests: list[tuple[Request, int]] | None = None
        if messages is not None and (part.first or inside_turn):
            requests = read_requests(messages, setting.names, setting.unnamed, self.meaning)
        plan = plan_turn(messages, requests, setting)
        in_block = self.block is not None or any(step.block is not None for step in plan.steps)
        if in_block and plan.steps and not self._served_stale(plan) and (refusal := self.lookup.catalog_refusal()):
            # What were proven reads may be something else by now, which must not be run outside of its block.
            return TurnPlan(refusal=refusal, effect=plan_turn(messages, None, setting).effect)
        return plan

    @property
    def can_be_orphaned(self) -> bool:
        """Whether the session may go on without its connection to Postgres: nothing that it has there is missed.

        It must not be in a block, nor wait for notifications. Advisory locks and cursors are gone all the same.
        """
        state = self.keeper.state
        return self.status == OUTSIDE_BLOCK and state is not None and not state.refusal and not state.listens

    def answer_alone(self, messages: Sequence[FrontendMessage]) -> tuple[bytes, int]:
        """Answer what a session without a connection can answer by itself; see `orphan.answer_alone`."""
        untouched = self.block is None and self.keeper.state == self.keeper.first
        return answer_alone(messages, Loner(self.statements, self.meaning, self._is_read, untouched))

    def _is_read(self, text: bytes) -> bool:
        template = self.database.templates.find(text, NameSpace(self.keeper.state.schemas if self.keeper.state else ()))
        return template is not None and template.analysis.cacheable

    def _served_stale(self, plan: TurnPlan) -> bool:
        """Tell whether nothing of a turn can come to Postgres, which is down, though the catalog cannot be read."""
        if self.orphaned:
            return True
        if not self.database.outage.serves:
            return False
        state = self.keeper.state
        return all(step.plan is None or self.lookup.would_hit(step.plan, state) for step in plan.steps)

    def plan_further(self, part: Part) -> tuple[list[FrontendMessage] | None, TurnPlan]:
        """Decode and plan a further part of a turn that is on its way."""
        messages = decode_part(part)
        return messages, plan_turn(messages, None, self._setting())

    def meaning(self, text: bytes) -> Meaning:
        """Tell what the names in a statement mean in this session now."""
        state, templates = self.keeper.state, self.database.templates
        if state is None:
            return None
        if self.lookup.behind_own_ddl:
            return LookUp(state.schemas, templates.number, self.writes.definitions, state.reading)
        template = templates.find(text, NameSpace(state.schemas))
        return meaning_of(template, state.reading) if template is not None else None

    def ready_made(self) -> ReplyTable | None:
        """Return the table of ready-made replies that holds now; None when each turn has to be looked at.

        Where nothing of the session is cached, or in a block of Postgres's, there is never a reply in it, but
        statements are known by it.
        """
        state, block = self.keeper.state, self.block
        if state is None or self._strong or self.lookup.catalog_refusal():
            return None
        if self.status != OUTSIDE_BLOCK:
            return self._replies(state, _UPSTREAM) if self.status == IN_BLOCK else None
        if block is not None and (block.failed or state.refusal):
            return None
        return self._replies(state, _REFUSED if state.refusal else self.situation)

    @property
    def situation(self) -> bytes:
        """What tells apart in which ways the same bytes are answered: in no block or in one, and by its settings."""
        return b"" if self.block is None else _HELD + self.block.mark

    def remember(
        self, turn: bytes, steps: tuple[Step, ...], payload: bytes, entries: list[Entry], situation: bytes
    ) -> None:
        """Keep the reply to a turn that was answered from memory, for when the same bytes come in the same situation.

        Args:
            turn: The client's bytes.
            steps: What they ask.
            payload: What was answered.
            entries: What it rests on: at most one, since a reply dies with its entry.
            situation: What it was before the turn.
        """
        state = self.keeper.state
        if state is None or len(entries) > 1 or any(step.request.depends_on_unnamed for step in steps):
            return
        if any(step.setting is not None for step in steps):
            return  # what is set is noted with each turn
        if any(step.plan is not None and step.plan.demand_is_its_own for step in steps):
            return  # the hot path goes by what the session asks for
        _, follow_up = summary(steps, self.block)
        entry = entries[0] if entries else ALWAYS_LIVE
        ttl = min((step.plan.ttl for step in steps if step.plan is not None), default=NEVER)
        reply = Reply(entry, payload, follow_up, len(entries), ttl)
        plans = [step.plan for step in steps if step.plan is not None]
        if self.writes.tokens is not None and len(plans) == 1:
            reply.looked_at = looked_at(plans[0])
        table = self._replies(state, situation)
        if turn_form(turn) is None:
            self.lookup.remember(turn, reply, table)
        else:
            self._remember_usual(turn, reply, table)

    def remember_read(self, turn: bytes, plan: Plan, payload: bytes, entry: Entry, state: SessionState) -> None:
        """Do what `remember` does for a turn of one read of a usual form outside of a block, with less ado.

        Args:
            turn: The client's bytes.
            plan: What they ask.
            payload: What answers them.
            entry: What that rests on.
            state: The session's state, which it was asked in.
        """
        request = plan.request
        if request is None or request.depends_on_unnamed or plan.demand_is_its_own:
            return
        follow_up = FollowUp(sets_unnamed=True, unnamed=request.unnamed) if request.sets_unnamed else None
        reply = Reply(entry, payload, follow_up, 1, plan.ttl)
        if self.writes.tokens is not None:
            reply.looked_at = looked_at(plan)
        self._remember_usual(turn, reply, self._replies(state, b""))

    def _remember_usual(self, turn: bytes, reply: Reply, table: ReplyTable) -> None:
        """Keep the reply to a turn of a usual form, so that it is found under other names, too."""
        name = used_name(turn)
        if not name:
            self.lookup.remember(turn, reply, table if table.plain is None else table.plain)
            return
        replies = table.meant.get(name)
        if replies is None and (replies := self.statements.names.meant(name, table)) is None:
            self.lookup.remember(turn, reply, table)
            return
        rest, reply.bind_rest = behind_name(turn)
        table.made += 1
        self.lookup.remember(rest, reply, replies, (table, turn) if table.made > _LASTS_FROM else None)

    def follow(self, follow_up: FollowUp) -> None:
        """A ready-made reply was sent: note what it changes."""
        if follow_up.sets_unnamed:
            self.statements.answered_here(follow_up.unnamed)
        if follow_up.begins:
            self.database.statistics.blocks_held += 1
        self.block = followed(self.block, follow_up)

    def _looked_up(self, prepared: Prepared) -> Prepared:
        """Return a statement that was prepared behind the session's own DDL, with what its names meant then."""
        how, templates = prepared.meaning, self.database.templates
        assert isinstance(how, LookUp)
        known = templates.number == how.catalog or self.writes.definitions == how.definitions
        template = templates.find(prepared.text, NameSpace(how.schemas)) if known else None
        return replace(prepared, meaning=meaning_of(template, how.reading) if template is not None else None)

    def table_of(self, turn: bytes, table: ReplyTable) -> ReplyTable:
        """Return the table in which the statement of a turn of a usual form is known: that of the name that it uses.

        Args:
            turn: The client's bytes.
            table: That of all names.
        """
        found = table.narrowed(turn)
        return self.statements.names.alone(used_name(turn), table) if found is None else found

    def _replies(self, state: SessionState, way: bytes) -> ReplyTable:
        """Return the table of ready-made replies: one for each way in which the same bytes are answered."""
        marks = ((_LISTENS, state.listens), (_DEBUGS, state.debugs))
        way += b"".join(mark for mark, is_so in marks if is_so)
        if self.database.templates.promise.ageing_ttl:
            way += b"%r" % ((state.ageing_ttl, state.max_staleness),)  # by which a reply that ages expires
        return self.statements.names.context(state.context + way)

    def _setting(self, *, whole: bool = False) -> Setting:
        block, statements = self.block, self.statements
        phase = Phase.OUTSIDE if self.status == OUTSIDE_BLOCK else Phase.UPSTREAM
        if block is not None:
            phase = Phase.FAILED if block.failed else Phase.HELD
            if block.portal is not None:
                self.portals.answered_here(block.portal.text)
        state = self.keeper.state
        return Setting(
            statements.names,
            statements.unnamed,
            self.portals,
            state,
            self.keeper.last,
            self.database.templates,
            phase,
            may_hold=state is not None and not state.listens,  # a notification must not come in the middle of a block
            whole=whole,
            held=block.settings if block is not None else {},
        )
