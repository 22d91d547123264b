"""The way through: turns of statements that are forwarded whatever their values are, in as few steps as can be.

It holds between turns, with the session's state known; the express way learns what may go through. Outside of blocks
that is what the cache has nothing to do with, or nothing to gain from. In a block of Postgres's it is everything. Where
a BEGIN is held back it is what makes it go upstream, in front of it.

Between two processes that wait for each other all code is cold, so that here each call counts. What was sent is a turn
like any other as soon as anything about it is not usual: `unfold`.
"""

from collections.abc import Callable
from time import thread_time

from services.proxy.admission.economy import Keeps, read_number
from services.proxy.reasons import Reason
from services.proxy.session.block import HeldBlock, UsualBeginning, usual_beginning
from services.proxy.session.conversation import IN_BLOCK, OUTSIDE_BLOCK
from services.proxy.session.exchange import Ack, Exchange, ParseAck, Segment
from services.proxy.session.known_statements import Route, ends_block
from services.proxy.session.planning import NO_EFFECT
from services.proxy.session.reply_table import ReplyTable
from services.proxy.session.stage import Stage
from services.proxy.session.templates import Template
from services.proxy.session.through_statements import (
    INSIDE,
    OUTSIDE,
    History,
    Through,
    analysis_of,
    is_usual_answer,
    stands_for_its_template,
)
from services.proxy.session.turn_form import TurnForm
from services.proxy.session.turn_runner import TurnRunner
from services.shared.pgwire.backend import CloseComplete, ParseComplete
from services.shared.pgwire.frontend import Bind

MOST_STATEMENTS = 1_000  # of one table; what is forgotten is looked at once more
_MOST_BEHIND_WRITES = 16  # reads that are remembered; of more, each is looked at
_USES_A_NAME = (Bind(b"", b"name", (), (), ()),)  # any turn that leaves the unnamed statement as it is
_CLOSED, _PARSED = CloseComplete().encode(), ParseComplete().encode()


class WayThrough:
    """The way through of one session.

    Attributes:
        under_way: The statement that was sent, and of whose answer nothing has come.
        moved: The turn that was answered last has begun or ended a block in Postgres.
    """

    # fmt: off
    __slots__ = (
        "_answer_before", "_began", "_beginning", "_behind_writes", "_caught_up", "_conversation", "_covered",
        "_economies", "_follower", "_forwarded", "_ready", "_simple", "_spent", "_templates", "_to_postgres", "_turns",
        "moved", "under_way",
    )
    # fmt: on

    def __init__(self, turns: TurnRunner, to_postgres: Callable[[bytes], None]) -> None:
        """Stand beside the runner of the session's turns; `to_postgres` sends bytes there."""
        database = turns.conversation.database
        self._turns = turns
        self._to_postgres = to_postgres
        self._conversation = turns.conversation
        self._templates = database.templates
        self._economies = database.templates.economies
        self._follower = database.follower
        self._forwarded = database.statistics.forwarded
        self._began = self._spent = 0.0  # processor seconds: at the turn's beginning; for all before its answer
        self._behind_writes: tuple[int, ...] = ()  # reads that own writes kept from the cache; see `note_own_write`
        self._covered = 0  # the newest covered probe then
        self._beginning: UsualBeginning | None = None  # what was sent in front of it, which begins its block
        self._caught_up: list[Ack] = []  # of what Postgres was told behind that of the unnamed statement
        self._answer_before = b""  # what both are answered with
        self._simple = False  # it is a simple query, behind which there is no Sync
        self._ready = OUTSIDE  # what its answer ends with
        self.moved = False
        self.under_way: Through | None = None

    def take(self, data: bytes, form: TurnForm, name: bytes, table: ReplyTable) -> bool:
        """Send a turn to Postgres, if it goes through; False: nothing has happened.

        Args:
            data: What came from the client, behind a whole turn.
            form: Its form.
            name: What names its statement; see `statement_name`.
            table: What is ready for the session's turns.
        """
        through = table.through.get(name)
        if through is None or through.history != (self._templates.number, self._follower.epoch):
            return False
        block = self._conversation.block
        if block is None:
            refusal = through.refusal or self._refusal_now(data, form, through)
        else:
            refusal = "" if block.settings else through.refusal  # what is read may be a part of what is held back
        if not refusal:
            return False
        self._began = thread_time() if not through.writes and self._economies.measures() else 0.0
        if through.writes:
            self._begin_write(data, form, through)
        self._forwarded[refusal] += 1
        self.under_way = through
        self._simple = form.simple
        self._turns.stage = Stage.FORWARDED
        if block is not None:
            data = self._begin_block(block, form) + data
        if through.in_block or block is not None:
            route = through.route
            self._ready = OUTSIDE if through.ends else INSIDE
            self._conversation.portals.bound_unnamed(None if route.prepared is None else route.prepared.text)
        else:
            self._ready = OUTSIDE
        self._to_postgres(data)
        if self._began:
            self._spent = thread_time() - self._began
        return True

    def answered(self, data: bytes) -> bytes:
        """Take what came from Postgres first, if it is all of a usual answer: return what the client is to see of it.

        Args:
            data: What came, from the beginning of a message on.

        Returns:
            Nothing where the answer has to be looked at.
        """
        began = thread_time() if self._began else 0.0
        through, conversation = self.under_way, self._conversation
        if self._beginning is not None:
            if not data.startswith(self._answer_before):
                return b""
            data = data[len(self._answer_before) :]
        if through is None or not is_usual_answer(data, parsed=through.unnamed is not None, ready=self._ready):
            return b""
        self.under_way = None
        self._turns.stage = Stage.IDLE
        self.moved = through.ends or self._beginning is not None
        if through.changes_unnamed:
            conversation.statements.answered_upstream(through.unnamed)
        if self.moved:
            self._move(through)
        elif through.writes and not through.in_block:
            conversation.written()
        if began:
            self._economies.prices.forwarding.note(self._spent + thread_time() - began)
        return data

    def unfold(self) -> None:
        """Make what is under way a turn like any other: more comes from the client, or its answer is no usual one."""
        through, self.under_way = self.under_way, None
        if through is None:
            return
        statements = self._conversation.statements
        acks, self._caught_up = self._caught_up, []
        beginning, self._beginning = self._beginning, None
        closes = 0 if beginning is None else beginning.closes
        if through.unnamed is not None:
            acks = [statements.expect_parse(through.unnamed)]
        elif through.changes_unnamed:
            statements.expect_query()
        self._turns.expect(Exchange([Segment(acks)], closes=closes), sync_follows=not self._simple)

    def learn(self, form: TurnForm, name: bytes, table: ReplyTable, route: Route, template: Template) -> None:
        """Have further turns of a statement go through, if they may; one that was not known, or is another by now.

        Args:
            form: A turn's form.
            name: What names its statement; empty: it cannot go through.
            table: What is ready for the session's turns.
            route: What is known of its statement, whatever its values are.
            template: The analysis of its very text.
        """
        history = (route.catalog, self._follower.epoch)
        if not name or (name in table.through and _is_known(table.through[name], history, template)):
            return
        if len(table.through) >= MOST_STATEMENTS:
            table.through.clear()
        sure = not form.simple or stands_for_its_template(form.head)
        in_block = self._conversation.status == IN_BLOCK
        table.through[name] = _through(form, history, route, template, in_block=in_block) if sure else None

    def note_own_write(self, number: int) -> None:
        """A read was kept from the cache by a write of its session that will evict whatever answers it.

        As long as nothing more is covered, it is when it comes again; and to forward it is right in any case.

        Args:
            number: Of the read; see `read_number`.
        """
        covered = self._conversation.database.freshness.covered
        if covered != self._covered:
            self._behind_writes, self._covered = (), covered
        self._behind_writes = (number, *self._behind_writes)[:_MOST_BEHIND_WRITES]

    def _refusal_now(self, data: bytes, form: TurnForm, through: Through) -> str:
        """Return why a read goes through now; empty when its answer may be here."""
        conversation = self._conversation
        database, state = conversation.database, conversation.keeper.state
        if state is None or state.refusal:
            return "" if state is None else state.refusal
        economy, prepared = through.template.economy, through.route.prepared
        behind_writes = self._behind_writes if self._covered == database.freshness.covered else ()
        if (economy.keeps is Keeps.ALL and not behind_writes) or database.outage.serves:
            return ""
        text = form.head if prepared is None else prepared.text
        number = read_number(text, data[form.bind_at : form.bind_end])
        reason = Reason.OWN_WRITE if number in behind_writes else economy.turns_away(number)
        if reason:
            database.statistics.misses += 1
        return reason

    def _begin_block(self, block: HeldBlock, form: TurnForm) -> bytes:
        """Return what goes in front of the first turn of a block that Postgres sees."""
        conversation = self._conversation
        conversation.database.statistics.blocks_sent += 1
        conversation.block = None
        self._beginning = beginning = usual_beginning(block.begin, read=block.read)
        self._answer_before = beginning.answer
        if form.simple or form.parses:  # which replaces the unnamed statement
            return beginning.raw
        caught_up, self._caught_up = conversation.statements.catch_up(_USES_A_NAME, begins_block=True)
        for ack in self._caught_up:
            self._answer_before += _PARSED if isinstance(ack, ParseAck) else _CLOSED
        return beginning.raw + caught_up

    def _move(self, through: Through) -> None:
        """Postgres has begun a block, or ended one."""
        conversation = self._conversation
        if through.ends:
            conversation.status = OUTSIDE_BLOCK
            conversation.outside()
            return
        self._beginning = None
        conversation.status = IN_BLOCK
        if self._caught_up:
            conversation.statements.settle(self._caught_up)
            self._caught_up = []

    def _begin_write(self, data: bytes, form: TurnForm, through: Through) -> None:
        route, template = through.route, through.template
        own: Template | None = template  # of this very text
        if form.simple and template.analysis.effect.rows is not None:
            own = analysis_of(form.head, template)
        self._conversation.writes.begin(route.effect if own is None else route.effect_of(data, form, own))


def _through(form: TurnForm, history: History, route: Route, template: Template, *, in_block: bool) -> Through:
    return Through(
        history=history,
        refusal=Reason.IN_TRANSACTION if in_block else route.refusal,
        in_block=in_block,
        ends=in_block and ends_block(template),
        changes_unnamed=form.simple or form.parses,
        unnamed=route.prepared if form.parses else None,
        writes=route.effect != NO_EFFECT,
        route=route,
        template=template,
    )


def _is_known(through: Through | None, history: History, template: Template) -> bool:
    """Tell whether there is nothing to learn: not even a name that stands for no statement can become one."""
    return through is None or (through.history == history and through.template.economy is template.economy)
