"""What the tree says of conditions on a column, and the marks that lead from it to the tokens. Pure.

Literals stand in the parsed text by their numbers, so that the tree tells which is which.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from sqlglot import exp

Name: TypeAlias = tuple[str, ...]
"""A column as it is written: its own name, possibly behind those of its table and schema."""

Sign: TypeAlias = Literal["=", ">=", "<=", "between"]
"""How a column compares with its values. Whether a bound belongs to its range is not told apart."""


class ValueRef(NamedTuple):
    """Which value: the literal or parameter of that number, counted from 0."""

    kind: Literal["literal", "parameter"]
    number: int


class Claim(NamedTuple):
    """A condition without its details: what tree and tokens have to agree on."""

    column: Name
    values: tuple[ValueRef, ...]
    other: Name = ()  # the column on the other side
    sign: Sign = "="


_SIGNS: dict[type[exp.Expr], Sign] = {exp.EQ: "=", exp.GT: ">=", exp.GTE: ">=", exp.LT: "<=", exp.LTE: "<="}
TURNED: dict[Sign, Sign] = {"=": "=", ">=": "<=", "<=": ">="}
"""How a value compares with a column that compares with it in this way."""

CLAIMING = (*_SIGNS, exp.In, exp.Between)
"""The nodes that may be conditions."""


def conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Give the parts of a condition that must all hold."""
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from conjuncts(node.this)
    else:
        yield node


def disjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Give the parts of a condition of which one must hold."""
    if isinstance(node, exp.Or):
        yield from disjuncts(node.this)
        yield from disjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from disjuncts(node.this)
    else:
        yield node


def claim_of(node: exp.Expr) -> Claim | None:
    """Return what the tree says of a conjunct, if it is of one of the forms."""
    if isinstance(node, exp.In):
        return _claim_of_in(node)
    if isinstance(node, exp.Between):
        return _claim_of_between(node)
    sign = _SIGNS.get(type(node))
    if sign is None:
        return None
    left, right = name_of(node.this), name_of(node.expression)
    if left and right:
        return Claim(left, (), right) if sign == "=" else None
    if left:
        value = value_of(_elements(node.expression) if sign == "=" else node.expression)
        return None if value is None else Claim(left, (value,), (), sign)
    value = value_of(node.this)
    return Claim(right, (value,), (), TURNED[sign]) if right and value is not None else None


def _claim_of_between(node: exp.Between) -> Claim | None:
    column, low, high = name_of(node.this), value_of(node.args["low"]), value_of(node.args["high"])
    if not column or low is None or high is None or node.args.get("symmetric"):
        return None
    return Claim(column, (low, high), (), "between")


def _claim_of_in(node: exp.In) -> Claim | None:
    column = name_of(node.this)
    if not column or node.args.get("query") is not None or node.args.get("unnest") is not None:
        return None
    values = [value_of(value) for value in node.expressions]
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


def value_of(node: exp.Expr) -> ValueRef | None:
    """Return which literal or parameter a node is, possibly with a cast around it."""
    if isinstance(node, exp.Cast):
        node = node.this
    if isinstance(node, exp.Parameter):
        text = str(node.this.this) if isinstance(node.this, exp.Literal) else ""
        return ValueRef("parameter", int(text) - 1) if text.isdecimal() else None
    if isinstance(node, exp.Literal):
        number = literal_number(node)
        return None if number is None else ValueRef("literal", number)
    return None


def literal_mark(number: int, *, is_number: bool) -> str:
    """Return what stands in the place of a literal while sqlglot parses."""
    return str(number + 1) if is_number else f"'s{number + 1}'"


def literal_number(node: exp.Literal) -> int | None:
    """Return which literal a node is."""
    text = str(node.this).removeprefix("s") if node.is_string else str(node.this)
    return int(text) - 1 if text.isdecimal() else None
