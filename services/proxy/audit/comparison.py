"""Do two answers say the same? Pure.

What is compared is the rows, byte by byte, and what was done. The description is left out: whether there is one, and
which formats it names, depends on who asked. A statement without an order may give its rows in any, so answers with the
same rows in another order are told apart from those with other rows.
"""

from collections import Counter
from enum import Enum

from services.proxy.cache.entry import Answer
from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.framing import HEADER_BYTES

_LENGTH_AT = 1  # of a message: behind its type byte; the length counts itself
_LENGTH_BYTES = HEADER_BYTES - _LENGTH_AT


class Match(Enum):
    """How far two answers agree."""

    EQUAL = "equal"
    REORDERED = "reordered"  # the same rows, each as often, in another order
    DIFFERENT = "different"


def compare(one: Answer, other: Answer) -> Match:
    """Tell how far two answers to the same read agree."""
    if one.complete != other.complete or len(one.rows) != len(other.rows):
        return Match.DIFFERENT
    if one.rows == other.rows:
        return Match.EQUAL
    return Match.REORDERED if Counter(rows_of(one)) == Counter(rows_of(other)) else Match.DIFFERENT


def rows_of(answer: Answer) -> list[bytes]:
    """Return an answer's rows, each as its whole message.

    Raises:
        ValueError: The bytes are no messages.
    """
    rows, at, data = [], 0, answer.rows
    while at < len(data):
        length = int.from_bytes(data[at + _LENGTH_AT : at + HEADER_BYTES], "big")
        end = at + _LENGTH_AT + length
        if length < _LENGTH_BYTES or end > len(data):
            raise ValueError("the rows of an answer are cut short")
        rows.append(data[at:end])
        at = end
    return rows


def is_cut(answer: Answer) -> bool:
    """Tell whether the client's own row limit ended the answer: which rows came first is then anybody's guess."""
    return answer.complete[:1] == bytes((BackendCode.PORTAL_SUSPENDED,))
