"""What a session has to note once a turn was answered from the cache: its unnamed statement, its held-back block. Pure.

It belongs to the turn's bytes, so a ready-made reply carries it.
"""

from dataclasses import dataclass
from typing import Protocol

from services.proxy.session.prepared import Prepared


class Portal(Protocol):
    """What the unnamed portal holds after a read that the cache answered."""

    @property
    def text(self) -> bytes:
        """The statement that it runs."""

    def rebuild_portal(self) -> tuple[bytes, int]:
        """Return the messages that make it so upstream, and with how many CloseCompletes the answer to them ends."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What to note.

    Attributes:
        sets_unnamed: The turn changed what the unnamed statement means.
        unnamed: What it means now; None: nothing.
        begins: Text of the last BEGIN in the turn; empty: there was none, or it was ended in the same turn.
        ends: The turn ended the block that was there before it.
        reads: A read was answered behind the last BEGIN.
        portal: What the unnamed portal holds then; None: there is none.
    """

    sets_unnamed: bool = False
    unnamed: Prepared | None = None
    begins: bytes = b""
    ends: bool = False
    reads: bool = False
    portal: Portal | None = None

    @property
    def changes_block(self) -> bool:
        """Whether another table of ready-made replies holds from now on."""
        return self.ends or bool(self.begins)
