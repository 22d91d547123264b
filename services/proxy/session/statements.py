"""The statement names of one session: what they mean, and which of them Postgres has.

A turn that the cache answered may have parsed the unnamed statement without Postgres seeing it. When a later turn needs
it upstream, the Parse is sent in front of that turn, and its ParseComplete is kept from the client.

While a turn is under way, names mean what they will mean if all of it succeeds: the first failure makes Postgres skip
the rest of the turn, so its further parts may be read with these meanings. What failed is taken back at the end. Pure.
"""

from collections.abc import Callable, Sequence, Set

from services.proxy.session.exchange import Ack, CloseAck, ParseAck, Segment
from services.proxy.session.names import Names
from services.proxy.session.prepared import LookUp, Prepared, TellMeaning, unknown_meaning
from services.shared.pgwire.frontend import Bind, Close, Describe, FrontendMessage, Parse, Query, Target

_UNNAMED = b""
_CLOSE_UNNAMED = Close(Target.STATEMENT, _UNNAMED).encode()


class SessionStatements:
    """Names and their meanings.

    Attributes:
        names: What each name means; interned, see `names`.
        unnamed: What the unnamed statement means; None: nothing, or not known.
    """

    __slots__ = ("_before", "_doubted", "_expected", "_queried", "_root", "_unnamed_upstream", "names", "unnamed")

    def __init__(self, root: Names) -> None:
        self._root = root
        self.names = root
        self._doubted = root
        self.unnamed: Prepared | None = None
        self._unnamed_upstream = True
        self._before: tuple[Names, Prepared | None, bool] | None = None  # as it was when the turn under way began
        self._expected: list[Ack] = []  # of the turn under way
        self._queried = False  # a simple query is part of it

    def answered_here(self, unnamed: Prepared | None) -> None:
        """The cache answered a turn after which the unnamed statement means this; None: nothing any more."""
        if unnamed is None or unnamed is not self.unnamed:
            self.unnamed = unnamed
            self._unnamed_upstream = False

    def prepared_here(self, name: bytes, prepared: Prepared) -> None:
        """A Parse was answered in a session that will never have a connection to Postgres again."""
        if name == _UNNAMED:
            self.answered_here(prepared)
        else:
            self.names = self.names.having(name, prepared)

    def closed_here(self, name: bytes) -> None:
        """A Close of a statement was answered in such a session."""
        if name == _UNNAMED:
            self.answered_here(None)
        else:
            self.names = self.names.without(name)

    def catch_up(self, messages: Sequence[FrontendMessage], *, begins_block: bool = False) -> tuple[bytes, list[Ack]]:
        """Return what the caller has to send upstream before these messages, and what it will be answered with.

        It makes the unnamed statement mean there what it means here: a Parse, or a Close where it means nothing any
        more.

        Args:
            messages: Those of the next part to be forwarded; none when they could not be read, so that they may use
                any statement.
            begins_block: Behind them, Postgres is in a block. Should that fail, it is too late for a Parse.
        """
        needed = _needs_unnamed(messages, turn_begun=self._before is not None, left_to_block=begins_block)
        if self._unnamed_upstream or not needed:
            return b"", []
        self._begin()
        self._unnamed_upstream = True
        ack: Ack
        if self.unnamed is None:
            first, ack = _CLOSE_UNNAMED, CloseAck(_UNNAMED, swallowed=True)
        else:
            first, ack = self.unnamed.raw, ParseAck(_UNNAMED, self.unnamed, swallowed=True)
        self._expected.append(ack)
        return first, [ack]

    def expected(self, messages: Sequence[FrontendMessage], meaning: TellMeaning = unknown_meaning) -> list[Ack]:
        """Return the acknowledgements that Postgres will send for these messages, in order.

        Args:
            messages: Those of a part that is about to be forwarded.
            meaning: What the names in the statements that it prepares mean now.
        """
        self._begin()
        acks: list[Ack] = []
        for message in messages:
            match message:
                case Parse(statement, sql, parameter_types):
                    prepared = Prepared(sql, parameter_types, message.encode(), meaning(sql))
                    acks.append(ParseAck(statement, prepared))
                    self._apply(acks[-1])
                case Close(target, name):
                    acks.append(CloseAck(name if target is Target.STATEMENT else None))
                    self._apply(acks[-1])
                case Query():
                    self.expect_query()
                case _:
                    pass
        self._expected += acks
        return acks

    def expect_parse(self, prepared: Prepared) -> Ack:
        """Return the acknowledgement that Postgres will send for a Parse of the unnamed statement."""
        self._begin()
        ack = ParseAck(_UNNAMED, prepared)
        self._apply(ack)
        self._expected.append(ack)
        return ack

    def expect_query(self) -> None:
        """A simple Query is about to be forwarded."""
        self._begin()
        self._queried = True
        self._forget_unnamed()

    def answered_upstream(self, unnamed: Prepared | None) -> None:
        """Postgres has answered a turn behind which the unnamed statement means this there; None: nothing any more."""
        self.unnamed, self._unnamed_upstream = unnamed, True

    @property
    def knows_unnamed(self) -> bool:
        """Whether it is known here what the unnamed statement means, be it nothing."""
        return self.unnamed is not None or not self._unnamed_upstream

    def settle_segments(self, segments: Sequence[Segment]) -> None:
        """An exchange has ended: to the client, what came behind a segment that failed was skipped."""
        acks: list[Ack] = []
        reached = 0
        for index, segment in enumerate(segments):
            acks += segment.settled
            reached += segment.due
            if segment.failed:
                later = (ack for skipped in segments[index + 1 :] for ack in skipped.settled)
                replaced = any(isinstance(ack, ParseAck) and ack.name == _UNNAMED for ack in later)
                self.settle(acks, reached)
                self._unnamed_upstream = self._unnamed_upstream and not replaced
                return
        self.settle(acks)

    def settle(self, acks: Sequence[Ack], reached: int | None = None) -> None:
        """A turn has ended: take over what Postgres has acknowledged of it, and take back the rest.

        Args:
            acks: Those that came.
            reached: How many of the expected ones stand before what was skipped for certain; None: all.
        """
        if self._before is not None and len(acks) < len(self._expected):
            self.names, self.unnamed, self._unnamed_upstream = self._before
            for ack in acks:
                self._apply(ack)
            failed = self._expected[len(acks) : reached]
            # A Parse that fails has removed the old statement already, one that was skipped has not: Postgres knows.
            unsure = self._unnamed_upstream and any(ack.name == _UNNAMED for ack in failed)
            if self._queried or unsure or (failed and _replaces_unnamed(failed[0])):
                self._forget_unnamed()
        self._before = None
        self._expected = []
        self._queried = False

    @property
    def any_named(self) -> bool:
        """Whether Postgres has anything to say on names that are known here, or were."""
        return bool(self.names) or bool(self._doubted)

    def doubt(self) -> None:
        """Names may have been given other meanings by SQL: until Postgres has been asked, none is known here.

        What is not known here is forwarded, and Postgres knows it.
        """
        self._doubted = self.names.over(self._doubted)
        self.names = self._root
        if self._unnamed_upstream:
            self.unnamed = None

    def confirm(self, existing: Set[bytes]) -> None:
        """Postgres has been asked which statements are there that a Parse has made: they mean what the Parse said.

        No SQL makes such a statement, and those that a Parse made since the doubt are known.
        """
        self.names = self.names.over(self._doubted).only(existing)
        self._doubted = self._root

    def forget(self) -> None:
        """Messages were sent that could not be read: names may mean anything now, for good."""
        self.doubt()
        self._doubted = self._root

    def look_up(self, looked_up: Callable[[Prepared], Prepared]) -> None:
        """The catalog has been read again behind the session's own DDL: find out what names meant.

        Args:
            looked_up: Returns a statement with the meaning that it turned out to have.
        """
        self.names = self.names.looked_up(looked_up)
        if self.unnamed is not None and isinstance(self.unnamed.meaning, LookUp):
            self.unnamed = looked_up(self.unnamed)

    def _begin(self) -> None:
        if self._before is None:
            self._before = self.names, self.unnamed, self._unnamed_upstream

    def _apply(self, ack: Ack) -> None:
        if isinstance(ack, CloseAck):
            if ack.name == _UNNAMED:
                self._forget_unnamed()
            elif ack.name is not None:
                self.names = self.names.without(ack.name)
        elif ack.name == _UNNAMED:
            self.unnamed, self._unnamed_upstream = ack.prepared, True
        else:
            self.names = self.names.having(ack.name, ack.prepared)

    def _forget_unnamed(self) -> None:
        """Nothing is known of the unnamed statement but that Postgres knows it; a simple query removes it."""
        self.unnamed, self._unnamed_upstream = None, True


def _replaces_unnamed(ack: Ack) -> bool:
    """Tell whether the client itself parsed the unnamed statement.

    Where that is the first thing missing and Postgres did not have the statement before, nothing stood in front of the
    Parse (see `_needs_unnamed`): it was not skipped, it failed.
    """
    return isinstance(ack, ParseAck) and ack.name == _UNNAMED and not ack.swallowed


def _needs_unnamed(messages: Sequence[FrontendMessage], *, turn_begun: bool, left_to_block: bool) -> bool:
    """Tell whether messages use the unnamed statement, or may be left with it because what replaces it is skipped.

    Args:
        messages: A part of a turn.
        turn_begun: Parts of the same turn went before, any of which may fail.
        left_to_block: What they leave as it is may be used in a block that has failed.
    """
    behind = turn_begun
    for message in messages:
        match message:
            case Parse(statement=b""):
                return behind
            case Query() | Close(target=Target.STATEMENT, name=b""):
                return False
            case Bind(statement=b"") | Describe(target=Target.STATEMENT, name=b""):
                return True
            case _:
                behind = True
    return left_to_block or not messages
