"""What is ready for the turns of sessions in which statement names and settings mean the same.

What a turn of one statement is answered with stands in the table of the one name that it uses, or of none: there it is
found by all sessions in which that name means the same, and by each of them whatever else it prepares. Pure.
"""

from typing import TYPE_CHECKING

from services.proxy.cache.entry import Reply
from services.shared.pgwire.codes import FrontendCode

if TYPE_CHECKING:
    from services.proxy.session.known_statements import KnownStatements  # which knows the names that lead here
    from services.proxy.session.through_statements import Through

_BIND = bytes((FrontendCode.BIND,))
_NAME_AT = 6  # behind the code, the length and the NUL of the unnamed portal


class ReplyTable(dict[bytes, Reply]):
    """Ready-made replies, by the exact bytes of a turn.

    Attributes:
        state_key: What tells apart the states that it is for.
        plain: The table of turns that use no name: of the same state, for whatever names there are; None: this one.
        alone: The tables of turns that use one name, by that name, as far as there were such turns: of the same state
            and the same meaning of that name, for whatever other names there are.
        known: The routes of turns for which no reply is ready; None while nobody needed one.
        through: The statements that go through, by their names; None where a name stands for several.
    """

    __slots__ = ("alone", "known", "plain", "state_key", "through")

    def __init__(self, state_key: bytes = b"", plain: "ReplyTable | None" = None) -> None:
        """Begin empty; see the class."""
        super().__init__()
        self.state_key = state_key
        self.plain = plain
        self.alone: dict[bytes, ReplyTable] = {}
        self.known: KnownStatements | None = None
        self.through: dict[bytes, Through | None] = {}

    def find_narrowed(self, data: bytes) -> Reply | None:
        """Return what is ready for these bytes in the table of the name that they use, or of none."""
        table = self.narrowed(data)
        return None if table is None else table.get(data)

    def narrowed(self, turn: bytes) -> "ReplyTable | None":
        """Return the table for what a turn uses of the names, if it is of a usual form; None while it is not known."""
        if turn[:1] == _BIND:
            return self.alone.get(used_name(turn))
        return self if self.plain is None else self.plain


def used_name(turn: bytes) -> bytes:
    """Return the statement that a turn runs which begins with a Bind of the unnamed portal; of others, anything."""
    return turn[_NAME_AT : turn.find(0, _NAME_AT)]
