"""Broken rules on statements: which conditions hold for which rows, what is watched, what an answer shows."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from sqlglot import exp

from services.invalidator import planner
from services.proxy.session import answer_tags, page_end, shown_rows
from services.proxy.session.requests import Request
from services.proxy.sql import (
    blocks,
    claims,
    given_conditions,
    occurrences,
    pages,
    shown_keys,
    tag_rules,
    watched_columns,
    written_conditions,
)
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.template import Lexed
from services.shared.relation import Shape

Fault = Callable[[], "contextlib.AbstractContextManager[Any]"]

_patch = mock.patch.object


@contextlib.contextmanager
def both(one: Any, other: Any) -> Iterator[None]:
    with one, other:
        yield


# -- joins

_join = blocks._Joins._join


def on_is_demanded_of(side: str, of: Callable[[set[int], int], set[int]]) -> Fault:
    """Demand the ON of a kind of join of sources of which it must not be."""

    def join(reader: Any, node: exp.Join) -> None:
        left = set(reader._item)
        _join(reader, node)
        on = node.args.get("on")
        if on is not None and node.side.upper() == side:
            right = max(reader._item)
            visible = frozenset(left | {right})
            reader._block.demands += blocks._demands(claims.conjuncts(on), of(left, right), visible)

    return lambda: _patch(blocks._Joins, "_join", join)


def outer_joins_are_inner_joins() -> Any:
    def join(reader: Any, node: exp.Join) -> None:
        side = node.args.get("side")
        node.args["side"] = None
        try:
            _join(reader, node)
        finally:
            node.args["side"] = side

    return _patch(blocks._Joins, "_join", join)


def on_sees_everything() -> Any:
    def read(select: exp.Select, numbers: Mapping[int, int]) -> blocks.Block:
        block = _read_block(select, numbers)
        everything = frozenset(range(len(block.sources)))
        block.demands = [replace(demand, visible=everything) for demand in block.demands]
        block.output = [replace(demand, visible=everything) for demand in block.output]
        return block

    return _patch(blocks, "_read_block", read)


_read_block = blocks._read_block


# -- sub-queries


def not_in_is_an_equality() -> Any:
    """Take `x NOT IN (SELECT y …)` for `y = x` inside."""
    condition_of = given_conditions.GivenConditions._condition

    def read(tree: exp.Expr, numbers: Mapping[int, int]) -> list[blocks.Block]:
        found = blocks.read_blocks(tree, numbers)
        by_select = dict(zip(map(id, tree.find_all(exp.Select)), found, strict=True))
        for node in tree.find_all(exp.In):
            query = node.args.get("query")
            select = query.this if isinstance(query, exp.Subquery) else query
            if isinstance(node.parent, exp.Not) and isinstance(select, exp.Select):
                block = by_select[id(select)]
                inner = select.expressions[0].unalias()
                everything = frozenset(range(len(block.sources)))
                equality = exp.EQ(this=inner.copy(), expression=node.this.copy())
                equality.meta["made_up"] = True
                block.demands.append(blocks.Demand(equality, everything, everything))
        return found

    def condition(found: Any, conjunct: exp.Expr) -> written_conditions.Condition | None:
        if conjunct.meta.get("made_up"):
            left, right = (claims.name_of(side) for side in (conjunct.this, conjunct.expression))
            return written_conditions.Condition(left, (), right) if left and right else None
        return condition_of(found, conjunct)

    conditions = given_conditions.GivenConditions
    return both(_patch(given_conditions, "read_blocks", read), _patch(conditions, "_condition", condition))


def alternatives_are_conjuncts() -> Any:
    def conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
        if isinstance(node, exp.And | exp.Or):
            yield from conjuncts(node.this)
            yield from conjuncts(node.expression)
        elif isinstance(node, exp.Paren):
            yield from conjuncts(node.this)
        else:
            yield node

    return _patch(blocks, "conjuncts", conjuncts)


def one_alternative_is_enough() -> Any:
    conditions_of = given_conditions.GivenConditions.of

    def of(conditions: Any, occurrence: int) -> given_conditions.GivenOf:
        found = conditions_of(conditions, occurrence)
        found.alternatives = [alternatives[:1] for alternatives in found.alternatives]
        return found

    return _patch(given_conditions.GivenConditions, "of", of)


def aggregates_give_nothing_for_nothing() -> Any:
    return _patch(blocks, "_gives_nothing_for_nothing", lambda _: True)


def a_cte_means_itself() -> Any:
    return _patch(occurrences, "_before", lambda ctes, _: list(ctes))


# -- watched columns


def unwatched(*kinds: type[exp.Expr], parts: Sequence[str] = ()) -> Fault:
    """Do not watch the columns that stand in a kind of clause."""
    watch = watched_columns.watched_columns

    def without(statement: Statement) -> list[frozenset[str] | None]:
        if statement.tree is None:
            return watch(statement)
        copy = statement.tree.copy()
        for node in list(copy.find_all(*kinds)):
            if parts:
                for part in parts:
                    node.set(part, None)
            else:
                node.pop()
        with _patch(watched_columns, "_unseen", lambda *_: set()):
            return watch(replace(statement, tree=copy))

    return lambda: _patch(tag_rules, "watched_columns", without)


def generated_columns_stand_for_themselves() -> Any:
    def of(relation: Relation, names: set[str]) -> frozenset[str]:
        return frozenset(column.name for column in relation.columns if column.name in names)

    return _patch(watched_columns, "_of", of)


def nothing_is_asked_for() -> Any:
    def asked(select: exp.Expr | None) -> bool:
        return isinstance(select, exp.Select) and isinstance(select.parent, exp.Exists)

    return _patch(watched_columns, "_is_only_asked_for", asked)


def rows_are_no_values() -> Any:
    return _patch(watched_columns, "rows_as_values", lambda statement: frozenset())


def names_of_joins_hide_nothing() -> Any:
    return _patch(watched_columns, "is_named_join", lambda item: False)


# -- pages


def pages_lack_nulls() -> Any:
    ordered = pages._ordered_column
    return _patch(pages, "_ordered_column", lambda relation, name, **_: ordered(relation, name, nulls_first=False))


def every_page_is_full() -> Any:
    def blocks_of(page: pages.Page, lexed: Lexed, request: Request, rows: bytes) -> list[bytes] | None:
        found = shown_rows.row_starts(rows, 10_000) or []
        with _patch(page_end, "row_count", lambda *_: len(found)):
            return page_end.page_blocks(page, lexed, request, rows)

    return _patch(answer_tags, "page_blocks", blocks_of)


def pages_ascend() -> Any:
    page_of = pages.page_of

    def ascending(*of: Any) -> pages.Page | None:
        page = page_of(*of)
        return None if page is None else replace(page, is_descending=False)

    return _patch(tag_rules, "page_of", ascending)


# -- keys that an answer shows


def outer_joins_keep_all_rows() -> Any:
    return _patch(shown_keys, "_kept_by_joins", lambda select: frozenset(range(20)))


def hidden_rows_do_not_count() -> Any:
    nothing_is_skipped = _patch(answer_tags, "row_count", lambda *_: 0)
    return both(_patch(shown_keys, "_COUNT_HIDDEN_ROWS", frozenset()), nothing_is_skipped)


def a_key_is_shown_of_every_occurrence() -> Any:
    def shown(outputs: Any, occurrence: int, shape: Shape) -> shown_keys.ShownKey | None:
        by_name = {name: place for (_, name), place in outputs._places.items()}
        places = tuple(by_name[column.name] for column in shape.columns if column.name in by_name)
        return shown_keys.ShownKey(shape, places, outputs._width) if len(places) == len(shape.columns) else None

    return _patch(shown_keys.Outputs, "shown_key", shown)


def the_last_row_is_not_shown() -> Any:
    return _patch(answer_tags, "shown_key_tags", lambda *of: (shown_rows.shown_key_tags(*of) or ())[:-1])


def unknown_new_rows_alter_nothing() -> Any:
    return _patch(planner, "entry_tag", lambda shape: "0:none")
