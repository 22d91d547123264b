"""Carries out the turns of a session whose connection to Postgres is lost, while Postgres is down (`serve_stale_for`).

Such a session takes no step that needs Postgres: reads are answered from the cache, blocks of reads are held back as
ever, a little is answered by the session itself (`orphan`), and all else is an error, after which the session goes on.
"""

from collections.abc import Sequence
from dataclasses import replace

from services.proxy.session.conversation import Conversation
from services.proxy.session.exchange import Exchange
from services.proxy.session.follow_up import Portal
from services.proxy.session.read_run import ReadRun
from services.proxy.session.requests import decode_part
from services.proxy.session.stage import Stage
from services.proxy.session.stale_hits import BLOCK_FAILED, UNANSWERABLE
from services.proxy.session.turns import Part
from services.proxy.session.wire import Wire
from services.shared.pgwire.backend import READY_FOR_QUERY
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.frontend import FrontendMessage
from services.shared.pgwire.sqlstate import Sqlstate

_UNREADABLE = "tidegate: Postgres is down, and this cannot be answered without it"


class OrphanRunner:
    """What `TurnRunner` is to a session with a connection.

    Attributes:
        stage: Where the turn is; never one that waits for Postgres.
        conversation: What holds in the session.
        inside_turn: Parts of a turn have been answered, and its end has not come.
        goes_on_upstream, copying, copied, sink: As in `TurnRunner`, where nothing is on its way to Postgres.
    """

    __slots__ = ("_run", "_skipping", "_wire", "conversation", "inside_turn", "stage")

    goes_on_upstream = False
    copying = False
    copied = False
    sink: None = None

    def __init__(self, conversation: Conversation, wire: Wire) -> None:
        """Take over a session between two turns."""
        self._wire = wire
        self._run: ReadRun | None = None
        self._skipping = False  # a part of the turn failed: the rest is skipped to the Sync
        self.conversation = conversation
        self.inside_turn = False
        self.stage = Stage.IDLE
        conversation.orphaned = True

    def begin(self, part: Part) -> None:
        """Take a part of a turn; all that was before it has been answered."""
        if self._skipping:
            if part.ends_with(FrontendCode.SYNC):
                self._end(part, failed=False)
            return
        messages = decode_part(part)
        if messages is None:
            self._wire.end(Sqlstate.CONNECTION_FAILURE, _UNREADABLE)
            return
        self._answer(part, messages)

    def go_on(self, part: Part) -> None:
        """Nothing goes on upstream."""

    def answered(self) -> None:
        """Postgres says nothing any more."""

    def interrupt(self) -> bool:
        """The client cancels what it waits for."""
        if self.stage is not Stage.ASKING_CACHE or self._run is None:
            return False
        self._run.interrupt()
        self._wire.go_on()
        return True

    def client_reads(self) -> None:
        """The client has caught up."""
        if self.stage is Stage.CLIENT_FULL and self._run is not None:
            self.stage = Stage.IDLE
            self._run.go_on()

    def reads_on(self) -> bool:
        """Nothing of this session is shared."""
        return False

    def close(self) -> None:
        """Nothing of this session goes on."""
        self.stage = Stage.CLOSED
        if self._run is not None:
            self._run.abandon()

    def _answer(self, part: Part, messages: Sequence[FrontendMessage]) -> None:
        conversation = self.conversation
        count = 0
        if conversation.block is None or not conversation.block.failed:
            reply, count = conversation.answer_alone(messages)
            self._wire.to_client(reply)
        if count == len(messages):
            self._end(part, failed=False)
            return
        rest, left = _behind(part, count), list(messages[count:])
        plan = conversation.plan(rest, left, inside_turn=True)
        if plan.steps:
            self._run = ReadRun(self, conversation, rest, left, plan.steps)
            self._run.go_on()
            return
        conversation.database.statistics.unanswered += 1
        block = conversation.block
        self._wire.to_client(BLOCK_FAILED if block is not None and block.failed else UNANSWERABLE)
        if block is not None:
            block.failed = True
        self._end(part, failed=True)

    def _end(self, part: Part, *, failed: bool) -> None:
        self.finish(whole=part.last, failed=failed, portal=None)
        if part.last:
            self._wire.to_client(READY_FOR_QUERY[self.conversation.shown_status])

    # -- a turn that is taken apart: see `read_run.Turns`

    def to_client(self, data: bytes) -> bool:
        """Send to the client; tell whether it reads as fast as we write."""
        self._wire.to_client(data)
        return not self._wire.client_full

    def send(self, raw: bytes, exchange: Exchange) -> None:
        """A run of an orphaned session sends nothing."""
        raise AssertionError("there is no connection to send to")

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
        """A turn, or a part of one, is answered; see `TurnRunner.finish`."""
        self._run = None
        self.stage = Stage.IDLE
        self.inside_turn = not whole
        self._skipping = failed and not whole


def _behind(part: Part, count: int) -> Part:
    """Return what is left of a part behind its first messages."""
    if not count:
        return part
    start = part.messages[count][1]
    left = tuple((kind, begin - start, end - start) for kind, begin, end in part.messages[count:])
    return replace(part, raw=part.raw[start:], messages=left)
