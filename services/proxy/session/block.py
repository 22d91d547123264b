"""A transaction block whose BEGIN is held back: what is known of it, and how Postgres learns of it when it must. Pure.

Drivers open a block for every read. As long as a READ COMMITTED block has held proven reads only, nobody can tell it
from no block: each of them takes a snapshot of its own. So the proxy answers the BEGIN itself, serves the reads, and
answers COMMIT or ROLLBACK itself. The first statement that is no proven read brings the BEGIN upstream, in front of
itself, and from there on the block is Postgres's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from services.proxy.session.follow_up import FollowUp, Portal
from services.proxy.session.held_setting import Held, HeldSetting, mark_of, set_for_statement, set_local
from services.shared.pgwire.backend import BindComplete, CloseComplete, CommandComplete, DataRow, ParseComplete
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.frontend import (
    SYNC,
    Bind,
    Close,
    Describe,
    Execute,
    FrontendMessage,
    Parse,
    Query,
    Sync,
    Target,
)

_NAME = b"tidegate_block"
_FAIL = Parse(_NAME, b"SELECT tidegate_block_has_failed").encode()  # no such column: what it is called in the log
_COMMIT = b"COMMIT"
_SNAPSHOT = b"SELECT"  # the shortest statement that takes one
_CLOSES = 3  # in what `_run` returns
_STARTS = re.compile(rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*start\b", re.IGNORECASE | re.DOTALL)  # answered by its own name


@dataclass(slots=True)
class HeldBlock:
    """A block that Postgres has not seen.

    Attributes:
        begin: The client's BEGIN.
        read: A read was answered in it, so it is too late for SET TRANSACTION (25001).
        failed: A read in it failed: only its end is answered without Postgres.
        portal: What the unnamed portal holds, which in a block outlives its turn.
        settings: What has been set for it, by name.
        mark: What tells its settings from those of other blocks; empty without any.
    """

    begin: bytes
    read: bool = False
    failed: bool = False
    portal: Portal | None = None
    settings: dict[str, HeldSetting] = field(default_factory=dict)
    mark: bytes = b""

    @property
    def status(self) -> TransactionStatus:
        """What ReadyForQuery says of it."""
        return TransactionStatus.FAILED if self.failed else TransactionStatus.IN_BLOCK

    def note_read(self, portal: Portal | None) -> None:
        """A read was answered.

        Args:
            portal: What it left in the unnamed portal; None after a simple Query.
        """
        self.read = True
        self.portal = portal

    def note_setting(self, held: HeldSetting, portal: Portal | None) -> None:
        """Something was set.

        Args:
            held: What.
            portal: As above.
        """
        self.settings[held.name] = held
        self.mark = mark_of(self.settings)
        self.read = self.read or bool(held.column)  # a SET takes no snapshot
        self.portal = portal


def followed(block: HeldBlock | None, follow_up: FollowUp) -> HeldBlock | None:
    """Return the block after a turn that was answered from the cache."""
    if follow_up.ends:
        block = None
    if follow_up.begins:
        block = HeldBlock(follow_up.begins)
    if block is not None and follow_up.reads:
        block.note_read(follow_up.portal)
    return block


@dataclass(frozen=True, slots=True)
class Prelude:
    """What goes upstream in front of a turn; the client sees nothing of its answer.

    It has no Sync of its own: should the BEGIN fail, Postgres skips the turn, which must not run outside of a block.

    Attributes:
        raw: The messages.
        closes: With how many CloseCompletes the answer to it ends.
    """

    raw: bytes
    closes: int


def prelude(block: HeldBlock, messages: Sequence[FrontendMessage]) -> Prelude:
    """Return what makes the block true upstream, before the first turn of it that Postgres sees.

    Args:
        block: The block, which has not failed.
        messages: The turn's, as far as they could be read.
    """
    pieces = [_run(block.begin)]
    closes = _CLOSES
    if block.read:
        pieces.append(_run(_SNAPSHOT))
        closes += _CLOSES
    for held in block.settings.values():
        pieces.append(_run(set_local(held)))
        closes += _CLOSES
    if block.portal is not None and uses_unnamed_portal(messages):
        raw, portal_closes = block.portal.rebuild_portal()
        pieces.append(raw)
        closes += portal_closes
    return Prelude(b"".join(pieces), closes)


class UsualBeginning(NamedTuple):
    """A prelude whose answer is known in advance.

    Attributes:
        raw: The messages.
        answer: What Postgres says when all goes well.
        closes: As in `Prelude`.
    """

    raw: bytes
    answer: bytes
    closes: int


@lru_cache(maxsize=32)
def usual_beginning(begin: bytes, *, read: bool) -> UsualBeginning:
    """Return what makes a block true upstream in which nothing is set, in front of a turn that leaves its portal be.

    Args:
        begin: The client's BEGIN.
        read: A read was answered in the block.
    """
    first = prelude(HeldBlock(begin, read=read), ())
    tag = "START TRANSACTION" if _STARTS.match(begin) else "BEGIN"
    answer = _answer(CommandComplete(tag).encode())
    if read:
        answer += _answer(DataRow(()).encode() + CommandComplete("SELECT 1").encode())
    return UsualBeginning(first.raw, answer, first.closes)


def settings_before(settings: Held) -> Prelude:
    """Return what sets settings for the one statement behind it, in the extended protocol: up to the Sync."""
    return Prelude(_run(set_for_statement(settings.values())), _CLOSES)


def settings_around(block: HeldBlock) -> tuple[Prelude, bytes]:
    """Return what sets settings for the one simple query behind it, and what ends that.

    A simple query behind other messages of a turn would go on with their transaction, and leave it open behind the Sync
    (Postgres 18); so it gets a block of its own.
    """
    pieces = [_run(block.begin), *(_run(set_local(held)) for held in block.settings.values())]
    return Prelude(b"".join(pieces), _CLOSES * len(pieces)), _run(_COMMIT) + SYNC


def read_before() -> Prelude:
    """Return what leaves Postgres as a read leaves it whose turn goes on: in a transaction that the turn has begun."""
    return Prelude(_run(_SNAPSHOT), _CLOSES)


def failed_block(block: HeldBlock) -> bytes:
    """Return a turn of its own that leaves Postgres in a block that has failed."""
    return _run(block.begin) + _FAIL + Sync().encode()


def _run(sql: bytes) -> bytes:
    """Run a statement under a name of the proxy's own: the client's unnamed statement stays as it is."""
    messages = (
        Close(Target.STATEMENT, _NAME),  # what an earlier one that failed half-way left behind
        Parse(_NAME, sql),
        Bind(_NAME, _NAME, (), (), ()),
        Execute(_NAME),
        Close(Target.PORTAL, _NAME),
        Close(Target.STATEMENT, _NAME),
    )
    return b"".join(message.encode() for message in messages)


def _answer(said: bytes) -> bytes:
    """Return what `_run` is answered with, where its Execute is answered with this."""
    closed = CloseComplete().encode()
    return b"".join((closed, ParseComplete().encode(), BindComplete().encode(), said, closed, closed))


def uses_unnamed_portal(messages: Sequence[FrontendMessage]) -> bool:
    """Tell whether messages use what the unnamed portal held before them."""
    for message in messages:
        match message:
            case Bind(portal=b"") | Query():
                return False
            case Execute(portal=b"") | Describe(Target.PORTAL, b"") | Close(Target.PORTAL, b""):
                return True
            case _:
                pass
    return False
