"""Conditions on a column as the tokens show them: with which values, of which type. Pure.

Known are `column = value`, `column IN (…)`, `column = ANY (…)` and `column = column`; the first with `<`, `<=`, `>` and
`>=` too, and `column BETWEEN value AND value`. Each counts only between words which bind weaker.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.proxy.sql.casts import type_at
from services.proxy.sql.claims import TURNED, Claim, Name, Sign, ValueRef
from services.proxy.sql.tokens import Token, TokenKind, at

_BEFORE = frozenset(("where", "on", "and", "or"))
_AFTER = frozenset(
    """
    and or where group having window order limit offset fetch for union intersect except
    join inner left right full cross natural
    """.split()
)
_SIGNS: dict[str, Sign] = {"=": "=", ">": ">=", ">=": ">=", "<": "<=", "<=": "<="}
STRING_KINDS = ("str", "estr", "dstr")
"""How literals are written whose text is read as the type that is wanted."""


@dataclass(frozen=True, slots=True)
class WrittenValue:
    """A value as the tokens show it.

    Attributes:
        ref: Which one.
        literal_kind: How the literal is written; empty for a parameter.
        cast: Name of the type that it is cast to, as in `pg_type`; empty when it is not cast.
        is_array: Whether its elements are meant.
    """

    ref: ValueRef
    literal_kind: str
    cast: str
    is_array: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition: how a column compares with values, or that it is equal to the other column."""

    column: Name
    values: tuple[WrittenValue, ...]
    other: Name = ()
    sign: Sign = "="

    @property
    def claim(self) -> Claim:
        """What the tree has to say."""
        return Claim(self.column, tuple(value.ref for value in self.values), self.other, self.sign)


def written_conditions(tokens: Sequence[Token]) -> Iterator[Condition]:
    """Give every condition that stands between words which bind weaker."""
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.OPERATOR and token.text in _SIGNS:
            yield from _at_sign(tokens, index, _SIGNS[token.text])
        elif token.is_word("in"):
            yield from _at_in(tokens, index)
        elif token.is_word("between"):
            yield from _at_between(tokens, index)


def _at_sign(tokens: Sequence[Token], place: int, sign: Sign) -> Iterator[Condition]:
    left_start, left = _name_before(tokens, place)
    right_end, right = _name_after(tokens, place + 1)
    if left and _begins(tokens, left_start):
        if right and sign == "=" and _ends(tokens, right_end):
            yield Condition(left, (), right)
            yield Condition(right, (), left)
        found = [_value_after(tokens, place + 1), *([_array_after(tokens, place + 1)] if sign == "=" else [])]
        for value, end in found:
            if value is not None and _ends(tokens, end):
                yield Condition(left, (value,), (), sign)
    elif right and _ends(tokens, right_end):
        value, start = _value_before(tokens, place)
        if value is not None and _begins(tokens, start):
            yield Condition(right, (value,), (), TURNED[sign])


def _at_between(tokens: Sequence[Token], word: int) -> Iterator[Condition]:
    start, column = _name_before(tokens, word)
    low, after_low = _value_after(tokens, word + 1)
    if not column or not _begins(tokens, start) or low is None or not at(tokens, after_low).is_word("and"):
        return
    high, end = _value_after(tokens, after_low + 1)
    if high is not None and _ends(tokens, end):
        yield Condition(column, (low, high), (), "between")


def _at_in(tokens: Sequence[Token], word: int) -> Iterator[Condition]:
    start, column = _name_before(tokens, word)
    if not column or not _begins(tokens, start) or not at(tokens, word + 1).is_mark("("):
        return
    values: list[WrittenValue] = []
    index = word + 2
    while True:
        value, index = _value_after(tokens, index)
        if value is None:
            return
        values.append(value)
        if at(tokens, index).is_mark(")"):
            break
        if not at(tokens, index).is_mark(","):
            return
        index += 1
    if _ends(tokens, index + 1):
        yield Condition(column, tuple(values))


def _begins(tokens: Sequence[Token], start: int) -> bool:
    before = at(tokens, start - 1)
    return before.is_mark("(") or (before.kind is TokenKind.WORD and before.text in _BEFORE)


def _ends(tokens: Sequence[Token], end: int) -> bool:
    after = at(tokens, end)
    return end >= len(tokens) or after.is_mark(")") or (after.kind is TokenKind.WORD and after.text in _AFTER)


def _name_before(tokens: Sequence[Token], end: int) -> tuple[int, Name]:
    """Return the name that ends before `end`, and where it starts; no name where there is none."""
    start = end
    while at(tokens, start - 1).is_name and (start == end or at(tokens, start).is_mark(".")):
        start -= 1
        if not at(tokens, start - 1).is_mark("."):
            return start, tuple(token.text for token in tokens[start:end:2])
        start -= 1
    return end, ()


def _name_after(tokens: Sequence[Token], start: int) -> tuple[int, Name]:
    """Return the name that begins at `start`, and the index after it."""
    names: list[str] = []
    index = start
    while at(tokens, index).is_name:
        names.append(tokens[index].text)
        index += 1
        if not at(tokens, index).is_mark("."):
            return index, tuple(names)
        index += 1
    return start, ()


def _value_after(tokens: Sequence[Token], start: int) -> tuple[WrittenValue | None, int]:
    """Return the literal or parameter at `start`, possibly with a cast around it, and the index after it."""
    token = at(tokens, start)
    if token.kind is TokenKind.WORD:
        return _typed_value(tokens, start)
    if not _is_value(token):
        return None, start
    if not at(tokens, start + 1).is_mark("::"):
        return _written(token, ""), start + 1
    name, end = _plain_type(tokens, start + 2)
    return (_written(token, name), end) if name else (None, start)


def _typed_value(tokens: Sequence[Token], start: int) -> tuple[WrittenValue | None, int]:
    """Return the value of `CAST (value AS type)` or `type 'value'`, and the index after it."""
    if at(tokens, start).is_word("cast") and at(tokens, start + 1).is_mark("("):
        token = at(tokens, start + 2)
        name, end = _plain_type(tokens, start + 4)
        whole = _is_value(token) and at(tokens, start + 3).is_word("as") and at(tokens, end).is_mark(")")
        return (_written(token, name), end + 1) if whole and name else (None, start)
    name, end = _plain_type(tokens, start)
    token = at(tokens, end)
    if not name or token.kind is not TokenKind.LITERAL or token.text not in STRING_KINDS:
        return None, start
    return _written(token, name), end + 1


def _plain_type(tokens: Sequence[Token], start: int) -> tuple[str, int]:
    """Return the name of a type without length and brackets, and the index after it; a length would cut the value."""
    name, end = type_at(tokens, start)
    plain = not any(part.is_mark("(") or part.is_mark("[") for part in tokens[start:end])
    return (name, end) if plain else ("", start)


def _is_value(token: Token) -> bool:
    return token.kind is TokenKind.LITERAL or token.kind is TokenKind.PARAMETER


def _value_before(tokens: Sequence[Token], end: int) -> tuple[WrittenValue | None, int]:
    """Return the value that ends before `end`, and where it starts."""
    for start in range(end - 1, max(-1, end - 8), -1):
        if _is_value(at(tokens, start)):
            value, after = _value_after(tokens, start)
            return (value, start) if after == end else (None, end)
    return None, end


def _array_after(tokens: Sequence[Token], start: int) -> tuple[WrittenValue | None, int]:
    """Return the array of `ANY (value)` or `ANY (value::type[])`, and the index after it."""
    token = at(tokens, start + 2)
    if not at(tokens, start).is_word("any") or not at(tokens, start + 1).is_mark("("):
        return None, start
    if not _is_value(token):
        return None, start
    name, end = "", start + 3
    if at(tokens, end).is_mark("::"):
        name, after = type_at(tokens, end + 1)
        brackets = [part.text for part in tokens[end + 1 : after] if part.is_mark("[") or part.is_mark("(")]
        if not name or brackets != ["["]:
            return None, start
        end = after
    return (_written(token, name, is_array=True), end + 1) if at(tokens, end).is_mark(")") else (None, start)


def _written(token: Token, cast: str, *, is_array: bool = False) -> WrittenValue:
    if token.kind is TokenKind.PARAMETER:
        return WrittenValue(ValueRef("parameter", token.number - 1), "", cast, is_array)
    return WrittenValue(ValueRef("literal", token.number), token.text, cast, is_array)
