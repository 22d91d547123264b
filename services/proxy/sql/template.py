"""A statement's template: the text that stays the same when only its literals differ.

`SELECT  x FROM t WHERE id = 7 -- why` becomes `select x from t where id = {int}` and the literal `7`. Braces stand
nowhere in SQL outside of quotes, so a placeholder cannot be mistaken for the statement's own text. Two statements
with the same template and the same literals mean the same. This runs on the hot path for each text that was not seen
before.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from services.proxy.sql.lexer import (
    COMMENT,
    END,
    KIND_OF_GROUP,
    QUOTED_IDENTIFIER,
    STATEMENT_PART,
    LexError,
    LiteralKind,
    without_comments,
)

_FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UNEVEN_SPACE = re.compile(r"[ \t\n\r\f]{2,}|[\t\n\r\f]")
_KEYWORD = re.compile(r"[( ]*([a-z_]+)")
_PLACEHOLDER_OR_QUOTED = re.compile(r'"(?:[^"]|"")*+"|\{[a-z]+\}')
_PLACEHOLDERS = {group: "{" + kind.value + "}" for group, kind in KIND_OF_GROUP.items()}
_STRING_PIECE = re.compile(r"'((?:[^']|'')*+)'|--[^\n\r]*")
_ESCAPED_PIECE = re.compile(r"'((?:[^'\\]|''|\\.)*+)'|--[^\n\r]*", re.DOTALL)
_ESCAPE = re.compile(r"''|\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_NULL_EQUALS = re.compile(r"=[ (]*null\b|\bnull[ )]*=")
_TEXTS = (LiteralKind.STRING, LiteralKind.ESCAPE, LiteralKind.DOLLAR, LiteralKind.UNICODE, LiteralKind.NATIONAL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Literal(NamedTuple):
    """A literal as it was written."""

    kind: LiteralKind
    text: str

    @property
    def value(self) -> str | None:
        """What it says: the number's text or the string's content; None where that is not plain."""
        match self.kind:
            case LiteralKind.INTEGER | LiteralKind.DECIMAL:
                return self.text
            case LiteralKind.STRING:
                return "".join(piece.replace("''", "'") for piece in _STRING_PIECE.findall(self.text))
            case LiteralKind.DOLLAR:
                tag_length = self.text.index("$", 1) + 1
                return self.text[tag_length:-tag_length]
            case LiteralKind.ESCAPE:
                return _unescaped("".join(_ESCAPED_PIECE.findall(self.text[1:])))
            case _:
                return None


@dataclass
class Lexed:
    """A statement text in parts; never changed. To make one that is frozen takes three times as long.

    Attributes:
        template: The text without comments and literals, unquoted letters folded, white space collapsed.
        literals: What stood in the places of the placeholders, in order.
        statement_count: Statements that are not empty, cut at semicolons.
        keyword: The first word, in capitals; empty when there is none.
    """

    template: str
    literals: tuple[Literal, ...]
    statement_count: int
    keyword: str

    @classmethod
    def empty(cls) -> "Lexed":
        """Return the lexed empty text."""
        return cls("", (), 0, "")

    @cached_property
    def is_read_by_settings(self) -> bool:
        """Whether settings decide what Postgres makes of it when it is parsed, once for all times that it is executed.

        `'01/02/2024'::date` and `'2024-01-01'::timestamptz` become values then, and `x = NULL` may become `x IS NULL`.
        """
        if any(literal.kind in _TEXTS for literal in self.literals):
            return True
        return "null" in self.template and _NULL_EQUALS.search(self.template) is not None

    @cached_property
    def text(self) -> str:
        """A statement text that means the same as the original one."""
        return fill_placeholders(self.template, [literal.text for literal in self.literals])


def fill_placeholders(template: str, texts: list[str]) -> str:
    """Return the template with texts in the places of its literals."""
    places = iter(texts)
    return _PLACEHOLDER_OR_QUOTED.sub(
        lambda found: found.group() if found.group().startswith('"') else next(places), template
    )


def lex(text: str) -> Lexed:
    """Cut a statement text into template and literals.

    Raises:
        LexError: It cannot be done with certainty: forward the text unread.
    """
    folded, literals, statement_count, commented = _fold(text)
    if commented:
        folded, literals, statement_count, _ = _fold(without_comments(text))
    template = "".join(folded).strip(" ;")
    keyword = _KEYWORD.match(template)
    return Lexed(template, tuple(literals), statement_count, keyword.group(1).upper() if keyword else "")


def _fold(text: str) -> tuple[list[str], list[Literal], int, bool]:
    """Return the template's pieces, the literals, the number of statements, and whether a comment stopped it."""
    pieces: list[str] = []
    literals: list[Literal] = []
    statement_count, content = 0, False
    ascii_only = text.isascii()
    uneven = _UNEVEN_SPACE.search(text) is not None
    next_part = STATEMENT_PART.scanner(text).match  # type: ignore[attr-defined]  # missing in typeshed
    while (part := next_part()) is not None:
        plain = part[1]
        if plain:
            plain = plain.lower() if ascii_only else plain.translate(_FOLD)
            if uneven:
                plain = _UNEVEN_SPACE.sub(" ", plain)
            pieces.append(plain)
            content = content or plain != " "
        group = part.lastindex
        placeholder = _PLACEHOLDERS.get(group)
        if placeholder is not None:
            pieces.append(placeholder)
            literals.append(Literal(KIND_OF_GROUP[group], part[group]))
            content = True
        elif group == QUOTED_IDENTIFIER:
            pieces.append(part[group])
            content = True
        elif group == END:
            return pieces, literals, statement_count + content, False
        elif group == COMMENT:
            return [], [], 0, True
        else:
            pieces.append(";")
            statement_count, content = statement_count + content, False
    raise LexError("the text cannot be cut into tokens")


def _unescaped(content: str) -> str | None:
    """Decode the content of an E'...' literal; None when it names bytes or half characters."""
    try:
        return _ESCAPE.sub(_unescape, content)
    except (ValueError, OverflowError):
        return None


def _unescape(escape: "re.Match[str]") -> str:
    text = escape.group()
    if text == "''":
        return "'"
    kind, digits = text[1], text[2:]
    if (kind in "uU" and digits) or (kind == "x" and digits):
        code = int(digits, 16)
    elif kind in "01234567":
        code = int(text[1:], 8)
    else:
        return _ESCAPES.get(kind, kind)
    if 0xD800 <= code <= 0xDFFF or (kind not in "uU" and code > 0x7F):  # surrogate halves; bytes of a character
        raise ValueError(f"not one character: {text}")
    return chr(code)
