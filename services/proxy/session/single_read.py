"""One read that is a turn of its own, on its way to Postgres just as the client sent it."""

from typing import NamedTuple, Protocol

from services.proxy.cache.entry import Entry
from services.proxy.session.conversation import Conversation
from services.proxy.session.exchange import Exchange
from services.proxy.session.follow_up import Portal
from services.proxy.session.lookup import MAX_REPLY_BYTES
from services.proxy.session.miss import Miss
from services.proxy.session.planning import Plan
from services.proxy.session.recorder import Recorder
from services.proxy.session.state import SessionState
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import TransactionStatus

_READY = READY_FOR_QUERY[TransactionStatus.IDLE]


class Turn(Protocol):
    """Whose read it is."""

    @property
    def conversation(self) -> Conversation:
        """What holds in its session."""

    def show(self) -> None:
        """Send to the client now what it was sent so far."""

    def finish(self, *, whole: bool, failed: bool, portal: Portal | None) -> None:
        """The turn is answered to its end."""


class Asked(NamedTuple):
    """What was asked, outside of a block, in a turn of nothing else.

    Attributes:
        turn: The client's bytes.
        plan: What they ask.
        state: The session's state then.
    """

    turn: bytes
    plan: Plan
    state: SessionState


class SingleRead:
    """A read that the cache had no answer to; what `ReadRun` is to a turn of several.

    Attributes:
        recorder: What captures its answer; None where that cannot be kept.
    """

    __slots__ = ("_asked", "_miss", "_turn")

    def __init__(self, turn: Turn, asked: Asked, miss: Miss | None) -> None:
        self._turn = turn
        self._asked = asked
        self._miss = miss

    @property
    def recorder(self) -> Recorder | None:
        """See the class."""
        return None if self._miss is None else self._miss.recorder

    def answered_upstream(self, exchange: Exchange) -> None:
        """Postgres has answered: let the client have the answer, and keep it."""
        if self._miss is not None:
            self._turn.show()
            entry = self._turn.conversation.lookup.end_miss(self._miss, failed=exchange.failed)
            if entry is not None and entry.tally.reused:
                self._make_ready(entry)
        self._turn.finish(whole=True, failed=exchange.failed, portal=None)

    def reads_on(self) -> bool:
        """The client reads slowly: tell whether Postgres is read all the same; see `ReadRun.reads_on`."""
        if self._miss is not None and self._miss.awaited:
            return True
        self.abandon()
        return False

    def abandon(self) -> None:
        """The session is over, or holds its answer up: let those who joined run for themselves."""
        if self._miss is not None:
            self._miss.stop_sharing()

    def _make_ready(self, entry: Entry) -> None:
        """Have the reply ready at once where it is likely to be asked for: the first hit is as quick as the others."""
        conversation, (turn, plan, state) = self._turn.conversation, self._asked
        if conversation.keeper.state is not state or conversation.database.auditor.watchful:
            return
        if conversation.lookup.keep_refusal(plan, state):
            return  # what is ready is not asked whether its template, or its table, is cached still
        if len(entry.answer.rows) <= MAX_REPLY_BYTES:
            conversation.remember_read(turn, plan, whole_reply(plan, entry), entry, state)


def whole_reply(plan: Plan, entry: Entry) -> bytes:
    """Return all that answers a turn of one read outside of a block, in one piece."""
    assert plan.request is not None
    return b"".join((*plan.request.pieces(entry.answer), _READY))
