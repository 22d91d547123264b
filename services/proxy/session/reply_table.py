"""What is ready for the turns of sessions in which statement names and settings mean the same."""

from typing import TYPE_CHECKING

from services.proxy.cache.entry import Reply

if TYPE_CHECKING:
    from services.proxy.session.known_statements import KnownStatements  # which knows the names that lead here
    from services.proxy.session.through_statements import Through


class ReplyTable(dict[bytes, Reply]):
    """Ready-made replies, by the exact bytes of a turn.

    Attributes:
        known: The routes of turns for which no reply is ready; None while nobody needed one.
        through: The statements that go through, by their names; None where a name stands for several.
    """

    __slots__ = ("known", "through")

    def __init__(self) -> None:
        super().__init__()
        self.known: KnownStatements | None = None
        self.through: dict[bytes, Through | None] = {}
