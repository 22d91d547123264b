"""Conditions of a statement that do not make its dependencies narrower, each with the reason, for a person. Pure.

Names are resolved as far as a person would at a glance: by alias, or because only one table has such a column. What is
not sure is not told.
"""

import re
from collections.abc import Iterator, Mapping

from sqlglot import exp

from services.proxy.sql.claims import conjuncts, literal_number, name_of
from services.proxy.sql.snapshot import Column
from services.proxy.sql.statement import Statement
from services.proxy.sql.tag_families import family_of, order_of
from services.proxy.sql.template import Lexed
from services.shared.relation import Shape

_MARK = re.compile(r"\0([0-9]+)\0|'s([0-9]+)'")  # the second stands where sqlglot keeps a text that is no literal
_EQUALITIES = (exp.EQ, exp.In)
_RANGES = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)
_OTHERS = (exp.Like, exp.ILike, exp.NEQ, exp.RegexpLike)
_HIDING = (exp.Cast, exp.Func, exp.Lower, exp.Upper, exp.Binary)


def unused_conditions(statement: Statement, occurrence: int, shape: Shape) -> list[str]:
    """Say of conditions on an occurrence of a table why they do not count.

    Args:
        statement: The statement.
        occurrence: Which of its occurrences.
        shape: What counts of it, or would with FULL identity.
    """
    return list(dict.fromkeys(_reasons(statement, occurrence, shape)))


def _reasons(statement: Statement, occurrence: int, shape: Shape) -> Iterator[str]:
    counted = {column.name for column in shape.named}
    for conjunct in _conditions(statement):
        if conjunct.find(exp.Query) is not None:
            continue
        columns = {id(node): _column(statement, occurrence, node) for node in conjunct.find_all(exp.Column)}
        if not columns or None in columns.values():
            continue  # it is on another table, or on several
        named = {column.name for column in columns.values() if column is not None}
        reason = "" if named & counted else _reason(conjunct, columns, statement.lexed)
        if reason and not (counted and isinstance(conjunct, _RANGES)):  # what is in a range counts by itself alone
            yield reason


def _conditions(statement: Statement) -> Iterator[exp.Expr]:
    """Give the parts of every WHERE and ON."""
    tree = statement.tree
    for node in tree.find_all(exp.Where, exp.Join) if tree is not None else ():
        if isinstance(node.parent, exp.Filter):
            continue  # it drops no row, but from one aggregate
        condition = node.args.get("on") if isinstance(node, exp.Join) else node.this
        if isinstance(condition, exp.Expr):
            yield from conjuncts(condition)


def _column(statement: Statement, occurrence: int, node: exp.Column) -> Column | None:
    """Return the column of an occurrence that a name means; None if it means none, or may mean another's."""
    name = name_of(node)
    relation = statement.relations[occurrence]
    if not name or relation is None or relation.column(name[-1]) is None:
        return None
    pairs = list(zip(statement.occurrences, statement.relations, strict=True))
    if len(name) > 1:
        means = [place for place, (found, _) in enumerate(pairs) if found.alias == name[-2]]
    else:
        means = [place for place, (_, other) in enumerate(pairs) if other is not None and other.column(name[-1])]
    return relation.column(name[-1]) if means == [occurrence] else None


def _reason(conjunct: exp.Expr, columns: Mapping[int, Column | None], lexed: Lexed) -> str:
    written = _written(conjunct, lexed)
    if isinstance(conjunct, exp.Or):
        return f"{written}: an OR counts only if each alternative holds a column equal to a value or in a range"
    if name := _boolean(conjunct):
        return f"{written}: that a column is true does not count as it is written; {name} = 'true' (or 'false') does"
    bare = [node for node in (conjunct.this, conjunct.args.get("expression")) if isinstance(node, exp.Column)]
    hidden = next((node for node in conjunct.find_all(exp.Column) if isinstance(node.parent, _HIDING)), None)
    if not bare and hidden is not None and hidden.parent is not conjunct:
        what = "a cast" if isinstance(hidden.parent, exp.Cast) else "an expression"
        return f"{written}: {what} hides the column; compare {hidden.name} itself"
    column = next(iter(columns.values()))
    if isinstance(conjunct, _OTHERS):
        return f"{written}: only = a value, IN, = ANY and ranges count"
    if column is None or not isinstance(conjunct, (*_EQUALITIES, *_RANGES)):
        return ""
    if column.generated:
        return f"{written}: the column is generated, and changes need not tell it"
    if isinstance(conjunct, _EQUALITIES) and family_of(column) is None:
        more = "; a range of them does" if order_of(column) is not None else ""
        return f"{written}: equal values of type {column.type_name} have several forms, so it does not count{more}"
    if isinstance(conjunct, _RANGES) and order_of(column) is None:
        return f"{written}: the order of type {column.type_name} is not known here, so a range does not count"
    return f"{written}: the value should be a plain one of the column's type, or a parameter (cast or declared to it)"


def _boolean(conjunct: exp.Expr) -> str:
    """Return the column that is only asked for its truth."""
    if isinstance(conjunct, exp.Not):
        return _boolean(conjunct.this)
    if isinstance(conjunct, exp.EQ | exp.Is) and isinstance(conjunct.expression, exp.Boolean):
        return _boolean(conjunct.this)
    return conjunct.name if isinstance(conjunct, exp.Column) else ""


def _written(condition: exp.Expr, lexed: Lexed) -> str:
    """Write a condition with its literals as they were."""

    def marked(node: exp.Expr) -> exp.Expr:
        is_literal = isinstance(node, exp.Literal) and not isinstance(node.parent, exp.Parameter)
        number = literal_number(node) if is_literal and isinstance(node, exp.Literal) else None
        return node if number is None else exp.Var(this=f"\0{number + 1}\0")

    def literal(mark: "re.Match[str]") -> str:
        number = int(mark[1] or mark[2]) - 1
        return lexed.literals[number].text if number < len(lexed.literals) else mark[0]

    return _MARK.sub(literal, condition.copy().transform(marked).sql(dialect="postgres"))
