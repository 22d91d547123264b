"""Makes a case that shows a violation smaller, as long as the smaller one shows one too."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import sqlglot
from sqlglot import exp

from tests.precision.case import Case, Query

T = TypeVar("T")


def smallest(case: Case, is_violation: Callable[[Case], bool], seconds: float) -> Case:
    """Return a smaller case for which `is_violation` still holds.

    Args:
        case: One for which it holds.
        is_violation: Plays a case.
        seconds: How long to go on at most.
    """
    until = time.monotonic() + seconds
    while True:
        for candidate in _smaller(case):
            if time.monotonic() > until:
                return case
            if is_violation(candidate):
                case = candidate
                break
        else:
            return case


def _smaller(case: Case) -> Iterator[Case]:
    """Give what to try, the greatest steps first."""
    for transaction in _without_runs(case.transaction):
        yield replace(case, transaction=transaction)
    for setup in _without_runs(case.setup):
        yield replace(case, setup=setup)
    for text in _simpler_queries(case.query.text):
        yield replace(case, query=Query(text, case.query.parameters))


def _without_runs(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Leave out half of the items, then a quarter, and so on; never all of them."""
    size = len(items) // 2
    while size:
        for at in range(0, len(items), size):
            if len(items) > size:
                yield (*items[:at], *items[at + size :])
        size //= 2


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
