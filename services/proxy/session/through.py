"""The way through: turns of statements that are forwarded whatever their values are, in as few steps as can be.

It holds where the express way holds, which learns what may go through: outside of blocks, between turns, with the
session's state known. Between two processes that wait for each other all code is cold, so that here each call counts.
What was sent is a turn like any other as soon as anything about it is not usual: `unfold`.
"""

from collections.abc import Callable
from time import thread_time

from services.proxy.admission.economy import Keeps, read_number
from services.proxy.reasons import Reason
from services.proxy.session.exchange import Ack, Exchange, Segment
from services.proxy.session.known_statements import Route
from services.proxy.session.planning import NO_EFFECT
from services.proxy.session.reply_table import ReplyTable
from services.proxy.session.stage import Stage
from services.proxy.session.templates import Template
from services.proxy.session.through_statements import (
    History,
    Through,
    analysis_of,
    is_usual_answer,
    stands_for_its_template,
)
from services.proxy.session.turn_form import NO_VALUES, TurnForm, read_bound
from services.proxy.session.turn_runner import TurnRunner

MOST_STATEMENTS = 1_000  # of one table; what is forgotten is looked at once more
_MOST_BEHIND_WRITES = 16  # reads that are remembered; of more, each is looked at


class WayThrough:
    """The way through of one session.

    Attributes:
        under_way: The statement that was sent, and of whose answer nothing has come.
    """

    # fmt: off
    __slots__ = (
        "_began", "_behind_writes", "_conversation", "_covered", "_economies", "_follower", "_forwarded", "_spent",
        "_templates", "_to_postgres", "_turns", "under_way",
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
        refusal = through.refusal or self._refusal_now(data, form, through)
        if not refusal:
            return False
        self._began = thread_time() if not through.writes and self._economies.measures() else 0.0
        if through.writes:
            self._begin_write(data, form, through)
        self._forwarded[refusal] += 1
        self.under_way = through
        self._turns.stage = Stage.FORWARDED
        self._to_postgres(data)
        if self._began:
            self._spent = thread_time() - self._began
        return True

    def answered(self, data: bytes) -> bool:
        """Take what came from Postgres first, if it is all of a usual answer: the caller passes it on as it is.

        Args:
            data: What came, from the beginning of a message on.
        """
        began = thread_time() if self._began else 0.0
        through = self.under_way
        if through is None or not is_usual_answer(data, parsed=through.unnamed is not None):
            return False
        self.under_way = None
        self._turns.stage = Stage.IDLE
        if through.changes_unnamed:
            self._conversation.statements.answered_upstream(through.unnamed)
        if through.writes:
            self._conversation.written()
        if began:
            self._economies.prices.forwarding.note(self._spent + thread_time() - began)
        return True

    def unfold(self) -> None:
        """Make what is under way a turn like any other: more comes from the client, or its answer is no usual one."""
        through, self.under_way = self.under_way, None
        if through is None:
            return
        statements = self._conversation.statements
        acks: list[Ack] = []
        if through.unnamed is not None:
            acks = [statements.expect_parse(through.unnamed)]
        elif through.changes_unnamed:
            statements.expect_query()
        self._turns.expect(Exchange([Segment(acks)]))

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
        table.through[name] = _through(form, history, route, template) if sure else None

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
        bound = NO_VALUES if form.simple else read_bound(data, form)
        if bound is None:
            return ""
        number = read_number(form.head if prepared is None else prepared.text, bound.values)
        reason = Reason.OWN_WRITE if number in behind_writes else economy.turns_away(number)
        if reason:
            database.statistics.misses += 1
        return reason

    def _begin_write(self, data: bytes, form: TurnForm, through: Through) -> None:
        route, template = through.route, through.template
        own: Template | None = template  # of this very text
        if form.simple and template.analysis.effect.rows is not None:
            own = analysis_of(form.head, template)
        self._conversation.writes.begin(route.effect if own is None else route.effect_of(data, form, own))


def _through(form: TurnForm, history: History, route: Route, template: Template) -> Through:
    return Through(
        history=history,
        refusal=route.refusal,
        changes_unnamed=form.simple or form.parses,
        unnamed=route.prepared if form.parses else None,
        writes=route.effect != NO_EFFECT,
        route=route,
        template=template,
    )


def _is_known(through: Through | None, history: History, template: Template) -> bool:
    """Tell whether there is nothing to learn: not even a name that stands for no statement can become one."""
    return through is None or (through.history == history and through.template.economy is template.economy)
