"""What one session knows of its own state, and when Postgres has to be asked for it (again)."""

from time import CLOCK_BOOTTIME, clock_gettime

import structlog

from services.proxy.cached_database import CachedDatabase
from services.proxy.session.exchange import Question
from services.proxy.session.state import SessionState, state_request
from services.shared.pgwire.codes import TransactionStatus

_RETRY_SECONDS = 5.0  # how long a session goes without asking again when its state could not be had

_log = structlog.get_logger()


class StateKeeper:
    """The state of one session.

    Attributes:
        state: As Postgres said it last; None while it is not known.
        last: What it was when it was known last.
        first: What it was before any statement of the client's; None where that is not known.
    """

    __slots__ = ("_asked", "_begun", "_database", "_epoch", "_of_block", "_retry_at", "first", "last", "state")

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
        return state_request(self._database.settings.name, self._asked, names=names)

    def learn(self, question: Question) -> None:
        """Take Postgres's answer."""
        self._epoch = self._database.follower.epoch
        self._of_block = question.status != TransactionStatus.IDLE
        try:
            self.state = self._database.states.read(question.row, self._asked) if question.row is not None else None
        except ValueError as error:
            _log.warning("the session's state could not be read", error=str(error))
        self.last = self.state or self.last
        if not self._begun:
            self._begun, self.first = True, self.state
        if self.state is None:
            self._retry_at = clock_gettime(CLOCK_BOOTTIME) + _RETRY_SECONDS

    def block_ended(self) -> None:
        """Postgres is outside a block again: what was set in it may be undone."""
        if self._of_block:
            self.state = None

    def forget(self) -> None:
        """The state may have changed."""
        self.state = None
