"""What the portals of a session run, which in a block outlive the turn that bound them: a cursor is fetched in parts.

Pure.
"""

from collections.abc import Iterable

from services.proxy.session.names import Names
from services.proxy.session.prepared import Prepared
from services.shared.pgwire.frontend import Bind, Close, FrontendMessage, Parse, Query, Target

_UNNAMED = b""
_MOST = 1_000  # a further one is not known: what runs in it may do anything


class Portals:
    """Portals and the texts that they run, as far as known."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        self._texts: dict[bytes, bytes] = {}

    def text(self, portal: bytes) -> bytes | None:
        """Return what a portal runs; None when that is not known."""
        return self._texts.get(portal)

    def answered_here(self, text: bytes) -> None:
        """The cache answered a read: the unnamed portal runs this, should Postgres be asked for it."""
        self._texts[_UNNAMED] = text

    def bound_unnamed(self, text: bytes | None) -> None:
        """A turn of a usual form goes to Postgres; None: it is a simple Query, which leaves no portal behind."""
        if text is None:
            self._texts.pop(_UNNAMED, None)
        else:
            self._bind(_UNNAMED, text)

    def forward(self, messages: Iterable[FrontendMessage], names: Names, unnamed: Prepared | None) -> None:
        """Messages go to Postgres; should one fail, the block has failed, and no portal runs any more.

        Args:
            messages: The messages.
            names: What statement names mean before them.
            unnamed: What the unnamed statement means before them.
        """
        parsed: dict[bytes, bytes] = {}
        for message in messages:
            match message:
                case Parse(statement, sql):
                    parsed[statement] = sql
                case Bind(portal, statement):
                    known = unnamed if statement == _UNNAMED else names.get(statement)
                    self._bind(portal, parsed.get(statement, known.text if known is not None else None))
                case Close(Target.PORTAL, name):
                    self._texts.pop(name, None)
                case Query():
                    self._texts.pop(_UNNAMED, None)
                case _:
                    pass

    def end_block(self) -> None:
        """Every portal ends with its transaction."""
        if self._texts:
            self._texts.clear()

    def _bind(self, portal: bytes, text: bytes | None) -> None:
        if text is None or (len(self._texts) >= _MOST and portal not in self._texts):
            self._texts.pop(portal, None)
        else:
            self._texts[portal] = text
