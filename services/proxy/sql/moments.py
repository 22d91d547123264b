"""Casts to dates and times: may what is cast be a text out of a table? That may say 'now'. Pure.

A text is read at each call, so `name::date` is another date tomorrow where a row says 'today'. What is a date or time
already, or a number, is cast by arithmetic, and depends on TimeZone at most. Which of both an expression is follows
from its parts; what a name means is not resolved exactly: whatever may go by that name anywhere in the statement must
not be a text. Literals and parameters are no texts out of tables: what they say is looked at (`inputs.py`).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from sqlglot import exp

from services.proxy.sql.builtin_types import MOMENT_TYPES, TEXT_TYPES
from services.proxy.sql.functions import GIVES_MOMENT, SPECIAL_FORMS
from services.proxy.sql.occurrences import call_in_from
from services.proxy.sql.statement import Statement

_MOMENTS = frozenset(exp.DType[name.upper()] for name in MOMENT_TYPES)
# Types that no text is kept by. What sqlglot calls otherwise, or may call a text so, is left out.
_NO_TEXTS = _MOMENTS | {
    exp.DType.BOOLEAN, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.FLOAT, exp.DType.DOUBLE,
    exp.DType.DECIMAL, exp.DType.INTERVAL, exp.DType.UUID,
}  # fmt: skip

# Nodes of functions that give what one of their arguments is, and which parts those are. (A test holds these and the
# next against what sqlglot makes of the functions' names.)
KEEPERS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Min: ("this",), exp.Max: ("this",), exp.AnyValue: ("this",), exp.ArrayAgg: ("this",),
    exp.Lag: ("this", "default"), exp.Lead: ("this", "default"), exp.FirstValue: ("this",), exp.LastValue: ("this",),
    exp.NthValue: ("this",), exp.Nullif: ("this",), exp.Coalesce: ("this", "expressions"),
    exp.Greatest: ("this", "expressions"), exp.Least: ("this", "expressions"), exp.Explode: ("this", "expressions"),
}  # fmt: skip
# Nodes of functions that give dates and times, or numbers, whatever they are called with.
GIVERS: tuple[type[exp.Expr], ...] = (
    exp.DateAdd, exp.DateBin, exp.TimestampTrunc, exp.TimeFromParts, exp.TimestampFromParts, exp.StrToDate,
    exp.StrToTime, exp.UnixToTime, exp.GenerateSeries, exp.ExplodingGenerateSeries, exp.Extract, exp.Count,
)  # fmt: skip
_MOST_STEPS = 5_000  # names that stand for each other many times over are not followed to their end
_CASTING_CALLS = (exp.Date, exp.Time, exp.Timestamp)  # date(x), "time"(x), "timestamp"(x)

_KEPT: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Paren: ("this",), exp.Window: ("this",), exp.Filter: ("this",), exp.Order: ("this",),
    exp.Distinct: ("expressions",), exp.Bracket: ("this",), exp.Array: ("expressions",), exp.Subquery: ("this",),
    exp.Case: ("ifs", "default"), exp.If: ("true",), exp.Unnest: ("expressions",), exp.Lateral: ("this",),
    exp.Union: ("this", "expression"), exp.Intersect: ("this", "expression"), exp.Except: ("this", "expression"),
    exp.Select: ("expressions",), exp.Alias: ("this",),
}  # fmt: skip
_NEVER_TEXT = (exp.Literal, exp.Null, exp.Boolean, exp.Interval, *_CASTING_CALLS)
# Operators that give no text. Postgres and sqlglot agree on what they are applied to where that is no other operator:
# `a ->> 1 + 1` is `a ->> (1 + 1)` to the one, and to the other `(a ->> 1) + 1`.
_OPERATORS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.AtTimeZone)
_ATOMS = (
    exp.Column, exp.Literal, exp.Parameter, exp.Null, exp.Boolean, exp.Paren, exp.Subquery, exp.Bracket, exp.Func,
    exp.Window, exp.Filter,
)  # fmt: skip


def cast_to_moments(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Give what is cast to a date or time, or to an array or a range of them: by `::`, CAST or the type's name."""
    for node in tree.walk():
        if (isinstance(node, exp.Cast) and _is_moment_type(node.to)) or isinstance(node, _CASTING_CALLS):
            yield node.this
        elif isinstance(node, exp.Anonymous) and node.name in MOMENT_TYPES and len(node.expressions) == 1:
            yield node.expressions[0]


def _is_moment_type(type_: exp.Expr) -> bool:
    kind = type_.args.get("kind")
    if isinstance(kind, exp.Dot):  # pg_catalog.date
        return kind.expression.name in MOMENT_TYPES
    if type_.this == exp.DType.ARRAY:
        return any(map(_is_moment_type, type_.expressions))
    return type_.this in _MOMENTS


class Texts:
    """Tells of the expressions of one statement whether they may be texts."""

    def __init__(self, statement: Statement, tree: exp.Expr) -> None:
        self._relations = [relation for relation in statement.relations if relation is not None]
        # A column without a name of its own is called like the function, the type or the form that gave it.
        self._calls = statement.catalog.functions.builtin | statement.catalog.builtin_types | SPECIAL_FORMS | {"case"}
        self._names = _given_names(tree)
        self._open: set[str] = set()
        self._steps_left = _MOST_STEPS

    def may_be(self, node: exp.Expr) -> bool:
        """Whether an expression may be a text, or an array of texts."""
        self._steps_left -= 1
        if self._steps_left < 0:
            return True
        if isinstance(node, exp.Column):
            return isinstance(node.this, exp.Star) or self._column_may_be(node.name)
        if isinstance(node, exp.Cast):
            return not _is_no_text(node.to)
        if isinstance(node, exp.Anonymous):
            return node.name not in GIVES_MOMENT and node.name not in MOMENT_TYPES
        if isinstance(node, exp.Parameter):
            return not isinstance(node.this, exp.Literal)
        if isinstance(node, _OPERATORS):
            return not _applies_to_atoms(node)
        if isinstance(node, (*GIVERS, *_NEVER_TEXT)):
            return False
        parts = KEEPERS.get(type(node)) or _KEPT.get(type(node))
        if parts is None:
            return True
        return any(map(self.may_be, _listed(node, parts)))

    def _column_may_be(self, name: str) -> bool:
        if name in self._open:  # it is what it is made of, as in a recursive CTE
            return False
        columns = [column for relation in self._relations if (column := relation.column(name)) is not None]
        given = self._names.given.get(name, []) + (self._names.nameless if name in self._calls else [])
        if not columns and not given:
            return True
        if any(column.type_name in TEXT_TYPES or column.user_type for column in columns):
            return True
        self._open.add(name)
        try:
            return any(item is None or self.may_be(item) for item in [*given, *self._names.passed.get(name, [])])
        finally:
            self._open.remove(name)


def is_whole(operand: exp.Expr) -> bool:
    """Whether both readers see a cast applied to the same: sqlglot takes `a -> b::date` for `(a -> b)::date`."""
    return _is_atom(operand) or isinstance(operand, _OPERATORS)  # the latter within CAST(…)


def _is_atom(node: exp.Expr) -> bool:
    """Whether an expression holds together by itself, and no operator next to it may come between its parts."""
    return isinstance(node, _ATOMS) and not isinstance(node, exp.Binary)


def _applies_to_atoms(node: exp.Expr) -> bool:
    operands = [node.args.get(part) for part in ("this", "expression", "zone")]
    return all(
        _applies_to_atoms(operand)
        if isinstance(operand, _OPERATORS)
        else isinstance(operand, exp.Interval) or _is_atom(operand)
        for operand in operands
        if operand is not None
    )


def _is_no_text(type_: exp.Expr) -> bool:
    if type_.this == exp.DType.ARRAY:
        return all(map(_is_no_text, type_.expressions))
    return type_.this in _NO_TEXTS


def _listed(node: exp.Expr, parts: tuple[str, ...]) -> Iterator[exp.Expr]:
    for part in parts:
        found = node.args.get(part)
        if isinstance(found, list):
            yield from found
        elif found is not None:
            yield found


class _Names(NamedTuple):
    """Names in a statement.

    Attributes:
        given: What goes by a name that the statement gives; None: what nobody knows.
        passed: Outputs that go by the name of a column within them.
        nameless: Outputs that go by no name, or by that of a function.
    """

    given: dict[str, list[exp.Expr | None]]
    passed: dict[str, list[exp.Expr]]
    nameless: list[exp.Expr | None]


def _given_names(tree: exp.Expr) -> _Names:
    names = _Names(defaultdict(list), defaultdict(list), [])
    for node in tree.walk():
        if isinstance(node, exp.Alias):
            names.given[node.alias].append(node.this)
        elif isinstance(node, exp.Aliases):
            for alias in node.expressions:
                names.given[alias.name].append(None)
        elif isinstance(node, exp.TableAlias):
            for name, what in _renamed(node):
                names.given[name].append(what)
        elif isinstance(node, exp.Select):
            _note_outputs(node, names)
        elif isinstance(node, exp.Values):
            for row in node.expressions:
                for number, value in enumerate(row.expressions, 1):
                    names.given[f"column{number}"].append(value)
        else:
            _note_call(node, names)
    return names


def _note_outputs(select: exp.Select, names: _Names) -> None:
    for output in select.expressions:
        if not isinstance(output, exp.Alias | exp.Column | exp.Star):
            names.nameless.append(output)
            for name in _passed_names(output):
                names.passed[name].append(output)


def _passed_names(output: exp.Expr) -> Iterator[str]:
    """Give the name that Postgres calls an output by, if it is a column's: that of `CASE … ELSE x::text END` is x."""
    if isinstance(output, exp.Column | exp.Dot):
        yield output.name
    elif isinstance(output, exp.Alias):
        yield output.alias
    elif isinstance(output, exp.Paren | exp.Cast | exp.Collate | exp.Bracket | exp.Subquery):
        yield from _passed_names(output.this)
    elif isinstance(output, exp.Case) and output.args.get("default") is not None:
        yield from _passed_names(output.args["default"])
    elif isinstance(output, exp.Select | exp.SetOperation):
        for select in output.find_all(exp.Select):
            for inner in select.expressions[:1]:
                yield from _passed_names(inner)


def _note_call(node: exp.Expr, names: _Names) -> None:
    """Note the names that functions in FROM give their columns themselves."""
    call = call_in_from(node)
    if call is not None and not node.alias:
        names.nameless.append(call)
    if isinstance(node, exp.Explode | exp.Unnest):  # of a tsvector
        own = "lexeme positions weights"
    elif isinstance(node, exp.Anonymous) and node.name.startswith("json"):
        own = "key value"
    else:
        own = ""
    for name in own.split():
        names.given[name].append(None)


def _renamed(alias: exp.TableAlias) -> Iterator[tuple[str, exp.Expr | None]]:
    """Give the columns that an alias in FROM names, and a function's own name, each with what it stands for."""
    item = alias.parent
    call = call_in_from(item)
    if call is not None:
        yield alias.name, call
        yield from ((column.name, call if isinstance(column, exp.Identifier) else None) for column in alias.columns)
        return
    for number, column in enumerate(alias.columns):
        if isinstance(item, exp.Values):
            yield from ((column.name, _at(row.expressions, number)) for row in item.expressions)
        else:
            yield from ((column.name, _at(outputs, number)) for outputs in _outputs(item))


def _outputs(query: exp.Expr | None) -> Iterator[list[exp.Expr]]:
    """Give the outputs of each SELECT that a derived table is made of; none where they are not known."""
    if isinstance(query, exp.Subquery | exp.CTE | exp.Lateral):
        yield from _outputs(query.this)
    elif isinstance(query, exp.SetOperation):
        yield from _outputs(query.this)
        yield from _outputs(query.expression)
    elif isinstance(query, exp.Select) and not any(output.is_star for output in query.expressions):
        yield query.expressions
    else:
        yield []


def _at(outputs: list[exp.Expr], number: int) -> exp.Expr | None:
    return outputs[number] if number < len(outputs) else None
