"""The statement names of one session: what they mean, and which of them Postgres has.

A turn that the cache answered may have parsed the unnamed statement without Postgres seeing it. When a later turn needs
it upstream, the Parse is sent in front of that turn, and its ParseComplete is kept from the client. Pure.
"""

from collections.abc import Iterable

from services.proxy.exchange import Ack, CloseAck, ParseAck
from services.proxy.prepared import Prepared
from services.proxy.statements import Names
from services.shared.pgwire.frontend import Bind, Close, Describe, FrontendMessage, Parse, Query, Target

_UNNAMED = b""


class SessionStatements:
    """Names and their meanings.

    Attributes:
        names: What each name means; interned, see `statements`.
        unnamed: What the unnamed statement means; None: nothing, or not known.
    """

    __slots__ = ("_root", "_unnamed_upstream", "names", "unnamed")

    def __init__(self, root: Names) -> None:
        self._root = root
        self.names = root
        self.unnamed: Prepared | None = None
        self._unnamed_upstream = True

    def answered_here(self, unnamed: Prepared | None) -> None:
        """The cache answered a turn after which the unnamed statement means this."""
        if unnamed is not self.unnamed:
            self.unnamed = unnamed
            self._unnamed_upstream = unnamed is None

    def missing_upstream(self, messages: Iterable[FrontendMessage]) -> Prepared | None:
        """Return the statement that has to be parsed upstream before these messages, if any."""
        if self._unnamed_upstream or self.unnamed is None:
            return None
        for message in messages:
            match message:
                case Parse(statement=b"") | Query():
                    return None  # replaced before it is used
                case Bind(statement=b"") | Describe(target=Target.STATEMENT, name=b""):
                    return self.unnamed
                case _:
                    continue
        return None

    def expected(self, messages: Iterable[FrontendMessage]) -> list[Ack]:
        """Return the acknowledgements that Postgres will send for these messages, in order."""
        acks: list[Ack] = []
        for message in messages:
            match message:
                case Parse(statement, sql, parameter_types):
                    acks.append(ParseAck(statement, Prepared(sql, parameter_types, message.encode())))
                case Close(target, name):
                    acks.append(CloseAck(name if target is Target.STATEMENT else None))
                case Query():
                    # A simple query forgets the unnamed statement.
                    self.unnamed, self._unnamed_upstream = None, True
                case _:
                    pass
        return acks

    def settle(self, acks: Iterable[Ack]) -> None:
        """Take over what Postgres has acknowledged."""
        for ack in acks:
            if isinstance(ack, CloseAck):
                if ack.name == _UNNAMED:
                    self.unnamed, self._unnamed_upstream = None, True
                elif ack.name is not None:
                    self.names = self.names.without(ack.name)
            elif ack.name == _UNNAMED:
                self.unnamed, self._unnamed_upstream = ack.prepared, True
            else:
                self.names = self.names.having(ack.name, ack.prepared)

    def forget(self) -> None:
        """Names may mean anything now: what is not known here is forwarded, and Postgres knows it."""
        self.names = self._root
        if self._unnamed_upstream:
            self.unnamed = None
