"""What is ready for the turns of sessions in which statement names and settings mean the same.

A reply is found by the exact bytes of its turn. To a turn that uses one name, or none, it is found by further sessions:
if none, by all in the same state; if one, by what stands behind the name in its bytes, wherever a name means that
statement. (Drivers that number their statements give the same one other names in other sessions.) Pure.
"""

import struct
from typing import TYPE_CHECKING

from services.proxy.cache.entry import Reply
from services.shared.pgwire.codes import FrontendCode

if TYPE_CHECKING:
    from services.proxy.session.known_statements import KnownStatements  # which knows the names that lead here
    from services.proxy.session.through_statements import Through

_BIND = int(FrontendCode.BIND)
_PORTAL_AT = 5  # behind the code and the length
_NAME_AT = 6  # behind the NUL of the unnamed portal
_LENGTH = struct.Struct(">I").unpack_from


class ReplyTable(dict[bytes, Reply]):
    """Ready-made replies, by the exact bytes of a turn.

    Attributes:
        state_key: What tells apart the states that it is for.
        plain: The table of turns that use no name: of the same state, for whatever names there are; None: this one.
        alone: The tables of turns that use one name, by that name, as far as there were such turns: of the same state
            and the same meaning of that name, for whatever other names there are. Of replies there are none in them.
        meant: Replies to such turns, by the name, and then by what stands behind it in the turn: of the same state and
            statement, whatever it is called.
        made: How many replies to turns of one name were made ready for these sessions.
        known: The routes of turns for which no reply is ready; None while nobody needed one.
        through: The statements that go through, by their names; None where a name stands for several.
    """

    __slots__ = ("alone", "known", "made", "meant", "plain", "state_key", "through")

    def __init__(self, state_key: bytes = b"", plain: "ReplyTable | None" = None) -> None:
        """Begin empty; see the class."""
        super().__init__()
        self.state_key = state_key
        self.plain = plain
        self.made = 0
        self.alone: dict[bytes, ReplyTable] = {}
        self.meant: dict[bytes, dict[bytes, Reply]] = {}
        self.known: KnownStatements | None = None
        self.through: dict[bytes, Through | None] = {}

    def find_narrowed(self, data: bytes) -> Reply | None:
        """Return what is ready for these bytes whatever the other names are, and whatever the statement is called."""
        if data[0] != _BIND:
            return None if self.plain is None else self.plain.get(data)
        end = data.find(0, _NAME_AT)
        replies = self.meant.get(data[_NAME_AT:end])
        reply = None if replies is None else replies.get(data[end:])
        # The same bytes behind a name are the same messages only if the Bind ends at the same one of them.
        if reply is None or _LENGTH(data, 1)[0] - end != reply.bind_rest or data[_PORTAL_AT]:
            return None
        return reply

    def narrowed(self, turn: bytes) -> "ReplyTable | None":
        """Return the table for what a turn uses of the names, if it is of a usual form; None while it is not known."""
        if turn[0] == _BIND:
            return self.alone.get(used_name(turn))
        return self if self.plain is None else self.plain


def used_name(turn: bytes) -> bytes:
    """Return the name of the statement that a turn of a usual form runs; empty: it runs none that has a name."""
    return turn[_NAME_AT : turn.find(0, _NAME_AT)] if turn[0] == _BIND else b""


def behind_name(turn: bytes) -> tuple[bytes, int]:
    """Return what stands behind that name, and how many bytes of it belong to the Bind, but for the name's NUL."""
    end = turn.find(0, _NAME_AT)
    return turn[end:], _LENGTH(turn, 1)[0] - end
