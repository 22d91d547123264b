"""What one session knows of its own state, and when Postgres has to be asked for it (again)."""

from time import CLOCK_BOOTTIME, clock_gettime

import structlog

from services.proxy.cached_database import CachedDatabase
from services.proxy.reasons import Reason
from services.proxy.replica.replay import Server, Standing, parse_replay
from services.proxy.session.exchange import Question
from services.proxy.session.state import SessionState, backend_of, state_request
from services.shared.lsn import NO_LSN
from services.shared.pgwire.codes import TransactionStatus

_RETRY_SECONDS = 5.0  # how long a session goes without asking again when its state could not be had

_log = structlog.get_logger()


class StateKeeper:
    """The state of one session.

    Attributes:
        state: As Postgres said it last; None while it is not known.
        last: What it was when it was known last.
        first: What it was before any statement of the client's; None where that is not known.
        backend: Process id of the session's backend, as its start-up told it; 0: not told.
        on_standby: The session's server is taken for a standby, and asked as one.
    """

    __slots__ = (
        "_asked", "_backend_seen", "_begun", "_database", "_epoch", "_of_block", "_retry_at", "backend", "first",
        "last", "on_standby", "state",
    )  # fmt: skip

    def __init__(self, database: CachedDatabase) -> None:
        self._database = database
        self.state: SessionState | None = None
        self.last: SessionState | None = None
        self.first: SessionState | None = None
        self._begun = False
        self._epoch = ""  # the bucket epoch that was followed when the state was read
        self._of_block = False  # the state was asked for in a block, whose end may undo what was set
        self._retry_at = 0.0
        self._asked: tuple[str, ...] = ()  # the settings that policies read, when the state was asked for
        self.on_standby = database.replica is not None  # ask as a standby can be asked
        self._backend_seen = 0  # the backend that answered on a standby
        self.backend = 0

    def wanted(self) -> bool:
        """Tell whether the state has to be asked for before a turn is decided.

        It is unknown, or it shows another history than the one that has been followed since: a session that was there
        before a new epoch has an old canary in its state. Or policies have come to read other settings.
        """
        same_history = self._epoch == self._database.follower.epoch
        if self.state is not None and same_history and self._asked == self._database.templates.policy_settings:
            return False
        return clock_gettime(CLOCK_BOOTTIME) > self._retry_at

    def question(self, *, names: bool) -> bytes:
        """Return the turn that asks Postgres; `names`: also for the statements that are prepared."""
        self._asked = self._database.templates.policy_settings
        return state_request(self._database.settings.name, self._asked, names=names, on_standby=self.on_standby)

    def learn(self, question: Question) -> None:
        """Take Postgres's answer."""
        self._epoch = self._database.follower.epoch
        self._of_block = question.status != TransactionStatus.IDLE
        self.state = self._read(question.row) if question.row is not None else None
        self.last = self.state or self.last
        if self._asked_wrongly():
            self.state = None
            self.on_standby = not self.on_standby
        elif self.state is None:
            self._retry_at = clock_gettime(CLOCK_BOOTTIME) + _RETRY_SECONDS
        if not self._begun:
            self._begun, self.first = True, self.state

    def standing(self, row: bytes | None, server: Server) -> Standing:
        """Say what an answer from a standby is worth, by what Postgres said in front of it.

        A session whose server has been promoted, or that a pooler has given another backend, knows its state no more.

        Args:
            row: The answer to `replay_question`; None when there was none.
            server: Where the session was then.
        """
        replay = parse_replay(row)
        if replay is None:
            return Standing(NO_LSN, Reason.REPLICA_SILENT)
        if not replay.in_recovery or (replay.backend, replay.started_at) != (self._backend_seen, server.started_at):
            self.state = None
            return Standing(NO_LSN, Reason.REPLICA_CHANGED)
        return Standing(replay.lsn, Reason.REPLICA_POOLED if self._pooled else "")

    def _read(self, row: bytes) -> SessionState | None:
        try:
            state = self._database.states.read(row, self._asked, self._database.follower.stream)
            self._backend_seen = backend_of(row)
        except ValueError as error:
            _log.warning("the session's state could not be read", error=str(error))
            return None
        return state

    def _asked_wrongly(self) -> bool:
        """Tell whether the state has to be asked for in the other way: a standby has been promoted, or one is behind.

        Only where the clients' server may be a standby at all.
        """
        if self._database.replica is None:
            return False
        if self.on_standby:
            return self.state is not None and not self.state.in_recovery
        return self.state is None

    @property
    def _pooled(self) -> bool:
        """Whether who may switch servers stands in between: he gives clients numbers of his own to cancel by."""
        return self.backend != self._backend_seen

    def wrote(self) -> None:
        """The session may have written, which nobody can on a standby: if it was on one, that may be promoted now.

        Postgres itself reports that (`in_hot_standby`), and by that the state is forgotten; a pooler may keep it back.
        """
        if self.on_standby and self._pooled:
            self.state = None

    def block_ended(self) -> None:
        """Postgres is outside a block again: what was set in it may be undone."""
        if self._of_block:
            self.state = None

    def forget(self) -> None:
        """The state may have changed."""
        self.state = None
