"""Statements that only begin or end a transaction block, and whether the proxy may answer them itself. Pure.

A BEGIN may be held back where every statement of its block takes a snapshot of its own, so that it makes no difference
to a read whether it runs inside: READ COMMITTED, and READ UNCOMMITTED, which is the same in Postgres. READ ONLY and
DEFERRABLE change nothing for reads. Everything else (other levels, AND CHAIN, PREPARED) is for Postgres.
"""

import re
from dataclasses import dataclass
from enum import Enum

from services.proxy.sql.template import Lexed

_KEYWORDS = frozenset(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"))
_MODE = r"(?:isolation level read (?:un)?committed|read only|read write|(?:not )?deferrable)"
_MODES = rf"(?: {_MODE}(?: ?,? ?{_MODE})*)?"
_BEGIN = re.compile(rf"(?:begin(?: work| transaction)?|(start) transaction){_MODES}")
_END = re.compile(r"(?:(commit|end)|rollback|abort)(?: work| transaction)?(?: and no chain)?")


class BlockStep(Enum):
    """What a statement does to a block."""

    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class BlockStatement:
    """A statement that begins or ends a block.

    Attributes:
        step: What it does.
        tag: What CommandComplete says of it when it went well.
    """

    step: BlockStep
    tag: str


_STARTED = BlockStatement(BlockStep.BEGIN, "START TRANSACTION")
_BEGUN = BlockStatement(BlockStep.BEGIN, "BEGIN")
_COMMITTED = BlockStatement(BlockStep.COMMIT, "COMMIT")
_ROLLED_BACK = BlockStatement(BlockStep.ROLLBACK, "ROLLBACK")


def block_statement(lexed: Lexed) -> BlockStatement | None:
    """Return what a statement does to a block; None when that is not all it does, or it cannot be held back."""
    if lexed.keyword not in _KEYWORDS or lexed.statement_count != 1 or lexed.literals:
        return None
    text = lexed.template
    begins = _BEGIN.fullmatch(text)
    if begins is not None:
        return _STARTED if begins[1] else _BEGUN
    ends = _END.fullmatch(text)
    if ends is not None:
        return _COMMITTED if ends[1] else _ROLLED_BACK
    return None
