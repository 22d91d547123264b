"""The casts of a statement, read from its tokens: `x::type`, `CAST(x AS type)`, `type 'literal'`, `type(x)`. Pure.

sqlglot translates the type names of many databases into its own; here a name means what it means to Postgres.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.proxy.sql.builtin_types import PLAIN_TYPES, REG_TYPES, SQL_NAMES
from services.proxy.sql.functions import GIVES_RECORDS
from services.proxy.sql.snapshot import CATALOG_SCHEMA
from services.proxy.sql.tokens import Token, TokenKind, at, closing

_MANY_WORDS = sorted((tuple(name.split()) for name in SQL_NAMES if " " in name), key=len, reverse=True)

# Words after which a string literal is a value. After any other name it would be the value of a type of that name.
_BEFORE_A_STRING = frozenset(
    """
    select distinct all any some and or not in like ilike to escape between symmetric asymmetric when then else case
    from for both leading trailing placing zone by limit offset on where having values is
    """.split()
)

_WITH_MODIFIER = frozenset(
    "bit char character decimal dec float interval numeric time timestamp timestamptz varbit varchar".split()
)


@dataclass(frozen=True, slots=True)
class CastToken:
    """A cast.

    Attributes:
        type_name: As in `pg_type`, without brackets; "" when the type is not understood.
        operand: Indexes of the operand's first token and of the one after its last.
        after: Index of the token after the cast.
    """

    type_name: str
    operand: tuple[int, int]
    after: int


def casts(tokens: Sequence[Token]) -> Iterator[CastToken]:
    """Give the casts of a statement."""
    for index, token in enumerate(tokens):
        if token.is_mark("::"):
            name, after = type_at(tokens, index + 1)
            yield CastToken(name, (_operand_start(tokens, index - 1), index), after)
        elif token.is_word("cast") and at(tokens, index + 1).is_mark("("):
            yield _cast_call(tokens, index + 1)
        elif token.kind is TokenKind.LITERAL and token.text not in ("int", "num", "radix"):
            typed = _typed_literal(tokens, index)
            if typed is not None:
                yield typed


def called_casts(tokens: Sequence[Token]) -> Iterator[CastToken]:
    """Give the calls of one argument by a type's name. Where no function of that name takes it, it is cast."""
    for index, token in enumerate(tokens):
        if not token.is_name or token.text not in PLAIN_TYPES | REG_TYPES or not at(tokens, index + 1).is_mark("("):
            continue
        if not is_type_modifier(tokens, index) and argument_count(tokens, index + 1) == 1:
            after = closing(tokens, index + 1)
            yield CastToken(token.text, (index + 2, after), after + 1)


def argument_count(tokens: Sequence[Token], opening: int) -> int:
    """Return how many arguments the parenthesis at `opening` holds."""
    depth, commas = 0, 0
    for index in range(opening, closing(tokens, opening)):
        token = tokens[index]
        depth += token.is_mark("(") + token.is_mark("[") - token.is_mark(")") - token.is_mark("]")
        commas += depth == 1 and token.is_mark(",")
    return 0 if at(tokens, opening + 1).is_mark(")") else commas + 1


def is_type_modifier(tokens: Sequence[Token], index: int) -> bool:
    """Whether the parenthesis behind a name belongs to a type, as in numeric(10, 2)."""
    previous = at(tokens, index - 1)
    if previous.is_mark("::"):
        return True
    if tokens[index].kind is not TokenKind.WORD:
        return False
    name = tokens[index].text
    two_words = previous.is_word("character", "char", "bit") and name == "varying"
    in_cast = previous.is_word("as") and name in _WITH_MODIFIER and any(token.is_word("cast") for token in tokens)
    return two_words or in_cast or name in ("interval", "time", "timestamp")


def defined_columns(tokens: Sequence[Token]) -> Iterator[str]:
    """Give the types of the columns that are defined for functions whose rows have none of their own ("": not read)."""
    for index, token in enumerate(tokens):
        if token.text in GIVES_RECORDS and token.is_name and at(tokens, index + 1).is_mark("("):
            place = closing(tokens, index + 1) + 1
            place += at(tokens, place).is_word("as")
            place += at(tokens, place).is_name
            more = at(tokens, place).is_mark("(")
            if not more:
                yield ""
            while more:
                name, place = type_at(tokens, place + 2)
                more = at(tokens, place).is_mark(",")
                yield name if more or at(tokens, place).is_mark(")") else ""


def type_at(tokens: Sequence[Token], index: int) -> tuple[str, int]:
    """Return the name of the type that begins at `index` ("" when it is not understood), and the index after it."""
    if at(tokens, index).is_word(CATALOG_SCHEMA) and at(tokens, index + 1).is_mark("."):
        name, index = at(tokens, index + 2).text, index + 3
    elif at(tokens, index).is_name and at(tokens, index + 1).is_mark("."):
        return "", index
    elif at(tokens, index).kind is TokenKind.QUOTED:
        name, index = at(tokens, index).text, index + 1
    elif at(tokens, index).kind is TokenKind.WORD:
        name, index = _sql_name(tokens, index)
    else:
        return "", index
    index = _skip_modifier(tokens, index)
    while at(tokens, index).is_mark("["):
        index += 1 + (at(tokens, index + 1).kind is TokenKind.LITERAL)
        if not at(tokens, index).is_mark("]"):
            return "", index
        index += 1
    return name, index


def _sql_name(tokens: Sequence[Token], index: int) -> tuple[str, int]:
    for words in _MANY_WORDS:
        place = index
        for number, word in enumerate(words):
            if number == 1:
                place = _skip_modifier(tokens, place)  # timestamp(3) with time zone
            if not at(tokens, place).is_word(word):
                break
            place += 1
        else:
            return SQL_NAMES[" ".join(words)], place
    word = at(tokens, index).text
    return SQL_NAMES.get(word, word), index + 1


def _skip_modifier(tokens: Sequence[Token], index: int) -> int:
    return closing(tokens, index) + 1 if at(tokens, index).is_mark("(") else index


def _cast_call(tokens: Sequence[Token], opening: int) -> CastToken:
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].is_mark("("):
            depth += 1
        elif tokens[index].is_mark(")"):
            depth -= 1
        elif depth == 1 and tokens[index].is_word("as"):
            name, after = type_at(tokens, index + 1)
            return CastToken(name if at(tokens, after).is_mark(")") else "", (opening + 1, index), after + 1)
    return CastToken("", (opening, opening), opening + 1)


def _typed_literal(tokens: Sequence[Token], index: int) -> CastToken | None:
    """Return the cast when the string at `index` is the value of a type whose name stands before it."""
    before = at(tokens, index - 1)
    if not before.is_name and not before.is_mark(")"):
        return None
    if before.kind is TokenKind.WORD and before.text in _BEFORE_A_STRING and not _ends_time_zone_type(tokens, index):
        return None
    for start in range(max(0, index - 8), index):
        preceded = at(tokens, start - 1)
        if preceded.is_name and preceded.text not in _BEFORE_A_STRING:
            continue
        name, after = type_at(tokens, start)
        if name and after == index:
            return CastToken(name, (index, index + 1), index + 1)
    return CastToken("", (index, index + 1), index + 1)


def _ends_time_zone_type(tokens: Sequence[Token], index: int) -> bool:
    """Whether `zone` belongs to `timestamp with time zone` and not to `AT TIME ZONE`."""
    return at(tokens, index - 1).is_word("zone") and at(tokens, index - 3).is_word("with", "without")


def _operand_start(tokens: Sequence[Token], last: int) -> int:
    """Return where the operand of `::` begins that ends at `last`: one value, name, or parenthesised text."""
    token = at(tokens, last)
    if token.is_mark(")"):
        depth = 0
        for index in range(last, -1, -1):
            depth += tokens[index].is_mark(")") - tokens[index].is_mark("(")
            if depth == 0:
                return index - 1 if at(tokens, index - 1).is_name else index
        return 0
    start = last
    while at(tokens, start).is_name and at(tokens, start - 1).is_mark(".") and at(tokens, start - 2).is_name:
        start -= 2
    return start
