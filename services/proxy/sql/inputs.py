r"""Text that Postgres may read as a moment relative to now.

`'now'::timestamp`, `date 'today'` and a parameter 'tomorrow' of type date mean something else at each call. The words
work anywhere inside a date's text, also in arrays and ranges of dates, where a backslash or a double quote between two
letters is none of the date's: `'{n\ow}'::date[]`, `'[n"o"w,)'::daterange`. Whether a text is read as a date cannot
always be told from the statement, so a statement with such a word in a literal or parameter is forwarded. A word that
merely contains one ('known', 'nowhere') is none.
"""

import re

from services.proxy.sql.lexer import LiteralKind
from services.proxy.sql.template import Lexed

_WORDS = r"(?<![A-Za-z])(?:now|today|tomorrow|yesterday)(?![A-Za-z])"
_IN_TEXT = re.compile(_WORDS, re.IGNORECASE)
_IN_BYTES = re.compile(_WORDS.encode(), re.IGNORECASE)
_UNQUOTED = {ord("\\"): None, ord('"'): None}


def relative_time_input(value: str | bytes) -> bool:
    """Tell whether a string literal's value, or a parameter in text format, may be relative to now."""
    if isinstance(value, str):
        return _says_so(value)
    if _IN_BYTES.search(value) is not None:
        return True
    return (b"\\" in value or b'"' in value) and _IN_BYTES.search(value.translate(None, b'\\"')) is not None


def relative_time_literal(lexed: Lexed) -> bool:
    """Tell whether any literal of a statement may be relative to now."""
    return any(
        literal.kind is LiteralKind.ESCAPE if literal.value is None else _says_so(literal.value)
        for literal in lexed.literals
    )


def _says_so(text: str) -> bool:
    if _IN_TEXT.search(text) is not None:
        return True
    return ("\\" in text or '"' in text) and _IN_TEXT.search(text.translate(_UNQUOTED)) is not None
