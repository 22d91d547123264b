"""Conditions of the forms `column = value`, `column IN (…)`, `column = ANY (…)` and `column = column`. Pure.

They are found twice. The tree says where a condition stands, and so for which rows it must hold; the tokens say what it
is, since there precedence cannot be mistaken: the words before and after it bind weaker than `=`. A condition counts
only where both say the same, wherever it stands in the statement: `k = $1::numeric(3)` is not `k = $1`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from sqlglot import exp

from services.proxy.sql.casts import type_at
from services.proxy.sql.tokens import Token, TokenKind, at

Name: TypeAlias = tuple[str, ...]
"""A column as it is written: its own name, possibly behind those of its table and schema."""

_BEFORE = frozenset(("where", "on", "and"))
_AFTER = frozenset(
    """
    and where group having window order limit offset fetch for union intersect except
    join inner left right full cross natural
    """.split()
)


class ValueRef(NamedTuple):
    """Which value: the literal or parameter of that number, counted from 0."""

    kind: Literal["literal", "parameter"]
    number: int


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


class Claim(NamedTuple):
    """A condition without its details: what tree and tokens have to agree on."""

    column: Name
    values: tuple[ValueRef, ...]
    other: Name = ()  # the column on the other side


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition: the column is one of the values, or equal to the other column."""

    column: Name
    values: tuple[WrittenValue, ...]
    other: Name = ()

    @property
    def claim(self) -> Claim:
        """What the tree has to say."""
        return Claim(self.column, tuple(value.ref for value in self.values), self.other)


def agreed_conditions(tree: exp.Expr, tokens: Sequence[Token]) -> dict[Claim, Condition]:
    """Return the conditions of which tree and tokens say the same everywhere."""
    written: dict[Claim, list[Condition]] = {}
    for condition in written_conditions(tokens):
        written.setdefault(condition.claim, []).append(condition)
    claims = Counter(claim_of(node) for node in tree.find_all(exp.EQ, exp.In))
    return {
        claim: found[0]
        for claim, found in written.items()
        if claims[claim] <= len(found) and all(condition == found[0] for condition in found)
    }


# -- the tokens


def written_conditions(tokens: Sequence[Token]) -> Iterator[Condition]:
    """Give every condition that stands between words which bind weaker."""
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.OPERATOR and token.text == "=":
            yield from _at_equals(tokens, index)
        elif token.is_word("in"):
            yield from _at_in(tokens, index)


def _at_equals(tokens: Sequence[Token], sign: int) -> Iterator[Condition]:
    left_start, left = _name_before(tokens, sign)
    right_end, right = _name_after(tokens, sign + 1)
    if left and _begins(tokens, left_start):
        if right and _ends(tokens, right_end):
            yield Condition(left, (), right)
            yield Condition(right, (), left)
        for value, end in (_value_after(tokens, sign + 1), _array_after(tokens, sign + 1)):
            if value is not None and _ends(tokens, end):
                yield Condition(left, (value,))
    elif right and _ends(tokens, right_end):
        value, start = _value_before(tokens, sign)
        if value is not None and _begins(tokens, start):
            yield Condition(right, (value,))


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
    """Return the literal or parameter at `start`, possibly with a cast behind it, and the index after it."""
    token = at(tokens, start)
    if token.kind is not TokenKind.LITERAL and token.kind is not TokenKind.PARAMETER:
        return None, start
    if not at(tokens, start + 1).is_mark("::"):
        return _written(token, ""), start + 1
    name, end = type_at(tokens, start + 2)
    if not name or any(part.is_mark("(") or part.is_mark("[") for part in tokens[start + 2 : end]):
        return None, start  # a length cuts the value
    return _written(token, name), end


def _value_before(tokens: Sequence[Token], end: int) -> tuple[WrittenValue | None, int]:
    """Return the value that ends before `end`, and where it starts."""
    for start in range(end - 1, max(-1, end - 8), -1):
        if at(tokens, start).kind in (TokenKind.LITERAL, TokenKind.PARAMETER):
            value, after = _value_after(tokens, start)
            return (value, start) if after == end else (None, end)
    return None, end


def _array_after(tokens: Sequence[Token], start: int) -> tuple[WrittenValue | None, int]:
    """Return the array of `ANY (value)` or `ANY (value::type[])`, and the index after it."""
    token = at(tokens, start + 2)
    if not at(tokens, start).is_word("any") or not at(tokens, start + 1).is_mark("("):
        return None, start
    if token.kind is not TokenKind.LITERAL and token.kind is not TokenKind.PARAMETER:
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


# -- the tree


def conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Give the parts of a condition that must all hold."""
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from conjuncts(node.this)
    else:
        yield node


def claim_of(node: exp.Expr) -> Claim | None:
    """Return what the tree says of a conjunct, if it is of one of the forms."""
    if isinstance(node, exp.In):
        return _claim_of_in(node)
    if not isinstance(node, exp.EQ):
        return None
    left, right = name_of(node.this), name_of(node.expression)
    if left and right:
        return Claim(left, (), right)
    if left:
        value = _value_of(_elements(node.expression))
        return None if value is None else Claim(left, (value,))
    value = _value_of(node.this)
    return Claim(right, (value,)) if right and value is not None else None


def _claim_of_in(node: exp.In) -> Claim | None:
    column = name_of(node.this)
    if not column or node.args.get("query") is not None or node.args.get("unnest") is not None:
        return None
    values = [_value_of(value) for value in node.expressions]
    known = tuple(value for value in values if value is not None)
    return Claim(column, known) if known and len(known) == len(values) else None


def name_of(node: exp.Expr) -> Name:
    """Return the name of a column; empty when the node is none."""
    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
        return ()
    return tuple(part for part in (node.db, node.table, node.name) if part)


def _elements(node: exp.Expr) -> exp.Expr:
    """Take `ANY ( )` off."""
    if not isinstance(node, exp.Any):
        return node
    inner: exp.Expr = node.this
    return inner.this if isinstance(inner, exp.Paren) else inner


def _value_of(node: exp.Expr) -> ValueRef | None:
    if isinstance(node, exp.Cast):
        node = node.this
    if isinstance(node, exp.Parameter):
        text = str(node.this.this) if isinstance(node.this, exp.Literal) else ""
        return ValueRef("parameter", int(text) - 1) if text.isdecimal() else None
    if isinstance(node, exp.Literal):
        number = literal_number(node)
        return None if number is None else ValueRef("literal", number)
    return None


# Literals stand in the parsed text by their numbers, so that the tree tells which is which.


def literal_mark(number: int, *, is_number: bool) -> str:
    """Return what stands in the place of a literal while sqlglot parses."""
    return str(number + 1) if is_number else f"'s{number + 1}'"


def literal_number(node: exp.Literal) -> int | None:
    """Return which literal a node is."""
    text = str(node.this).removeprefix("s") if node.is_string else str(node.this)
    return int(text) - 1 if text.isdecimal() else None
