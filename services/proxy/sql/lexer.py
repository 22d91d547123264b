r"""How Postgres cuts a statement into tokens, as far as a cache has to know: what is a literal, what is a comment.

One regular expression does the work. A match is a *plain* run (words, white space, operators, punctuation, positional
parameters) and the *special* that ends it: a literal, a quoted identifier, a semicolon, a comment, or the end. Whatever
Postgres' own lexer (`scan.l`) would read otherwise in another version, or refuse, is a `LexError`: such a statement is
forwarded unread. `standard_conforming_strings` is taken to be on.

Postgres folds only ASCII letters of unquoted identifiers under UTF-8, and takes every non-ASCII character as a letter.
"""

import re
from collections.abc import Iterator
from enum import StrEnum


class LexError(ValueError):
    """The text cannot be cut into tokens with certainty."""


class LiteralKind(StrEnum):
    """How a literal is written; a template keeps the kind in the literal's place."""

    INTEGER = "int"  # 42
    DECIMAL = "num"  # 4.2, .5, 1e10
    RADIX = "radix"  # 0x1F, 1_000: from Postgres 16 on; before, a number followed by an alias
    STRING = "str"  # '...'
    ESCAPE = "estr"  # E'...'
    DOLLAR = "dstr"  # $tag$...$tag$
    UNICODE = "ustr"  # U&'...'
    BIT = "bit"  # B'...'
    HEX = "hex"  # X'...'
    NATIONAL = "nstr"  # N'...', of type character(n)


_LETTER = r"A-Za-z_\x80-\U0010ffff"
_WORD_CHARACTER = rf"{_LETTER}0-9$"
_DIGITS = r"[0-9](?:_?[0-9])*+"
_NO_JUNK = rf"(?![{_WORD_CHARACTER}.])"  # 123abc, 1..2: another meaning in another version, or an error

# Literals that are separated by white space with a line break are one literal.
_CONTINUED = r"(?:[ \t\f]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f]|--[^\n\r]*[\n\r])*+"
_QUOTED = r"'[^']*+(?:''[^']*+)*+'"
_ESCAPED = r"'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'"

PLAIN = rf"""
    (?: (?![EeBbXxNn]'|[Uu]&['"]) [{_LETTER}][{_WORD_CHARACTER}]*+
      | [ \t\n\r\f(),=<>+*%^|&~!@#`?:\[\]]++
      | -(?!-) | /(?!\*) | \.(?![0-9])
      | \$[0-9]++(?![{_WORD_CHARACTER}])
    )*+
"""

STATEMENT_PART = re.compile(
    rf"""({PLAIN})(?:
      ({_QUOTED}{_CONTINUED}{_QUOTED})*+)
    | ([Ee]{_ESCAPED}{_CONTINUED}{_ESCAPED})*+)
    | (\$(?P<tag>(?:[{_LETTER}][{_LETTER}0-9]*+)?)\$.*?\$(?P=tag)\$)
    | ([Uu]&{_QUOTED}{_CONTINUED}{_QUOTED})*+)
    | ([Bb]{_QUOTED}{_CONTINUED}{_QUOTED})*+)
    | ([Xx]{_QUOTED}{_CONTINUED}{_QUOTED})*+)
    | ([Nn]{_QUOTED}{_CONTINUED}{_QUOTED})*+)
    | ([0-9]++{_NO_JUNK})
    | ((?:0[xX](?:_?[0-9A-Fa-f])++|0[oO](?:_?[0-7])++|0[bB](?:_?[01])++|{_DIGITS}(?=[^.eE]|\Z)){_NO_JUNK})
    | ((?:{_DIGITS}(?:\.(?!\.)(?:{_DIGITS})?+)?+|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?+{_NO_JUNK})
    | ((?:[Uu]&)?"[^"]*+(?:""[^"]*+)*+")
    | (;)
    | (--|/\*)
    | (\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)

# The groups of STATEMENT_PART. Group 1 is the plain run, group 5 the tag of a dollar quote.
KIND_OF_GROUP: dict[int, LiteralKind] = {
    2: LiteralKind.STRING,
    3: LiteralKind.ESCAPE,
    4: LiteralKind.DOLLAR,
    6: LiteralKind.UNICODE,
    7: LiteralKind.BIT,
    8: LiteralKind.HEX,
    9: LiteralKind.NATIONAL,
    10: LiteralKind.INTEGER,
    11: LiteralKind.RADIX,
    12: LiteralKind.DECIMAL,
}
QUOTED_IDENTIFIER = 13
SEMICOLON = 14
COMMENT = 15
END = 16

_COMMENT_EDGE = re.compile(r"/\*|\*/")
_LINE_END = re.compile(r"[\n\r]|\Z")


def without_comments(text: str) -> str:
    """Return the text with a space in the place of each comment, except those inside a continued literal.

    Raises:
        LexError: The text cannot be cut, or a comment does not end.
    """
    kept: list[str] = []
    place = 0
    while True:
        part = STATEMENT_PART.match(text, place)
        if part is None:
            raise LexError(f"unexpected text at character {place}")
        if part.lastindex == END:
            kept.append(text[place:])
            return "".join(kept)
        if part.lastindex != COMMENT:
            kept.append(part.group())
            place = part.end()
            continue
        kept.append(part.group(1) + " ")
        place = _after_comment(text, part.start(COMMENT))


def comments(text: str) -> Iterator[str]:
    """Give the comments of a text, in order; those inside a continued literal are a part of that.

    Raises:
        LexError: The text cannot be cut, or a comment does not end.
    """
    place = 0
    while True:
        part = STATEMENT_PART.match(text, place)
        if part is None:
            raise LexError(f"unexpected text at character {place}")
        if part.lastindex == END:
            return
        place = part.end()
        if part.lastindex == COMMENT:
            place = _after_comment(text, part.start(COMMENT))
            yield text[part.start(COMMENT) : place]


def _after_comment(text: str, start: int) -> int:
    if text.startswith("--", start):
        end = _LINE_END.search(text, start)
        return len(text) if end is None else end.start()
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise LexError("a comment does not end")


def literal_spans(text: str) -> list[tuple[LiteralKind, tuple[int, int]]] | None:
    """Return the kinds and places of a text's literals, in order; None where it has comments or cannot be cut."""
    found: list[tuple[LiteralKind, tuple[int, int]]] = []
    place = 0
    while (part := STATEMENT_PART.match(text, place)) is not None:
        group = part.lastindex or END
        if group == END:
            return found
        if group == COMMENT:
            return None
        if group in KIND_OF_GROUP:
            found.append((KIND_OF_GROUP[group], part.span(group)))
        place = part.end()
    return None
