"""Makes a case that shows a violation smaller, as long as the smaller one shows one too."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import sqlglot
from sqlglot import exp

from tests import shrinking
from tests.precision.case import Case, Query
from tests.shrinking import without_runs


def smallest(case: Case, is_violation: Callable[[Case], bool], seconds: float) -> Case:
    """Return a smaller case for which `is_violation` still holds.

    Args:
        case: One for which it holds.
        is_violation: Plays a case.
        seconds: How long to go on at most.
    """
    return shrinking.smallest(case, _smaller, is_violation, seconds)


def _smaller(case: Case) -> Iterator[Case]:
    """Give what to try, the greatest steps first."""
    for transaction in without_runs(case.transaction):
        yield replace(case, transaction=transaction)
    for setup in without_runs(case.setup):
        yield replace(case, setup=setup)
    for text in _simpler_queries(case.query.text):
        yield replace(case, query=Query(text, case.query.parameters))


def _simpler_queries(text: str) -> Iterator[str]:
    """Give texts with one part of the query left out, or put in the place of what is around it."""
    try:
        tree = sqlglot.parse_one(text, dialect="postgres")
    except sqlglot.errors.SqlglotError:
        return
    count = sum(1 for _ in tree.walk())
    for number in range(count):
        for change in (_drop, _left, _right):
            copy = tree.copy()
            node = next(node for at, node in enumerate(copy.walk()) if at == number)
            with contextlib.suppress(Exception):  # a tree that cannot be changed so is not
                changed = change(node)
                if changed:
                    yield copy.sql(dialect="postgres")


def _drop(node: exp.Expr) -> bool:
    parent = node.parent
    if parent is None:
        return False
    siblings = parent.args.get(node.arg_key or "")
    if isinstance(siblings, list) and (len(siblings) > 1 or node.arg_key in ("joins",)):
        node.pop()
        return True
    if isinstance(
        node, exp.Where | exp.Order | exp.Limit | exp.Offset | exp.Distinct | exp.Having | exp.Group | exp.With
    ):
        node.pop()
        return True
    return False


def _left(node: exp.Expr) -> bool:
    """Put the left or only part in the place of the whole."""
    if isinstance(node, exp.And | exp.Or | exp.Not | exp.Paren | exp.Union | exp.Except | exp.Intersect | exp.Cast):
        node.replace(node.this)
        return True
    return False


def _right(node: exp.Expr) -> bool:
    if isinstance(node, exp.And | exp.Or | exp.Union | exp.Except | exp.Intersect):
        node.replace(node.expression)
        return True
    return False
