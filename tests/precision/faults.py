"""Is the property test able to fail? Each rule of `docs/precision.md` is broken in turn, and has to be caught.

python -m tests.precision.faults                    all of them; the kept case that finds each, or how many made pairs
python -m tests.precision.faults "old rows"         one of them

A fault replaces a function while it is there. Where a mistake cannot be made by leaving something out, since the code
leaves nothing to be left out, the fault adds what the rule forbids.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from sqlglot import exp

from schemas.changes import RowChange
from schemas.fields import Row
from services.cdc.change_events import ChangeEvents
from services.invalidator import planner
from services.proxy.session import answer_tags, page_end, shown_rows
from services.proxy.session.requests import Request
from services.proxy.sql import (
    array_values,
    blocks,
    claims,
    given_conditions,
    occurrences,
    pages,
    shown_keys,
    tag_families,
    tag_rules,
    value_sources,
    watched_columns,
    written_conditions,
)
from services.proxy.sql.snapshot import Column, Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.template import Lexed
from services.shared.keyspace import canonical, intervals, order_keys
from services.shared.relation import Shape
from tests.precision.case import read_case
from tests.precision.running import CORPUS, first_violation, is_violation
from tests.precision.stage import Stage, open_stage
from tests.precision.tally import Tally
from tests.servers.postgres import PostgresServer

VERSION = "15"  # of a build that knows collations in which different texts are equal
MOST_PAIRS = 60_000  # all but a few are caught in 6,000; chance decides

Fault = Callable[[], "contextlib.AbstractContextManager[Any]"]

_patch = mock.patch.object


# -- joins

_join = blocks._Joins._join


def _on_is_demanded_of(side: str, of: Callable[[set[int], int], set[int]]) -> Fault:
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


def _outer_joins_are_inner_joins() -> Any:
    def join(reader: Any, node: exp.Join) -> None:
        side = node.args.get("side")
        node.args["side"] = None
        try:
            _join(reader, node)
        finally:
            node.args["side"] = side

    return _patch(blocks._Joins, "_join", join)


def _on_sees_everything() -> Any:
    def read(select: exp.Select, numbers: Mapping[int, int]) -> blocks.Block:
        block = _read_block(select, numbers)
        everything = frozenset(range(len(block.sources)))
        block.demands = [replace(demand, visible=everything) for demand in block.demands]
        block.output = [replace(demand, visible=everything) for demand in block.output]
        return block

    return _patch(blocks, "_read_block", read)


_read_block = blocks._read_block


# -- sub-queries


def _not_in_is_an_equality() -> Any:
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
    return _both(_patch(given_conditions, "read_blocks", read), _patch(conditions, "_condition", condition))


def _alternatives_are_conjuncts() -> Any:
    def conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
        if isinstance(node, exp.And | exp.Or):
            yield from conjuncts(node.this)
            yield from conjuncts(node.expression)
        elif isinstance(node, exp.Paren):
            yield from conjuncts(node.this)
        else:
            yield node

    return _patch(blocks, "conjuncts", conjuncts)


def _one_alternative_is_enough() -> Any:
    conditions_of = given_conditions.GivenConditions.of

    def of(conditions: Any, occurrence: int) -> given_conditions.GivenOf:
        found = conditions_of(conditions, occurrence)
        found.alternatives = [alternatives[:1] for alternatives in found.alternatives]
        return found

    return _patch(given_conditions.GivenConditions, "of", of)


def _aggregates_give_nothing_for_nothing() -> Any:
    return _patch(blocks, "_gives_nothing_for_nothing", lambda _: True)


def _a_cte_means_itself() -> Any:
    return _patch(occurrences, "_before", lambda ctes, _: list(ctes))


# -- row changes


def _old_rows_are_dropped() -> Any:
    return _patch(planner, "_before", lambda row, after, keys: after)


def _old_keys_are_dropped() -> Any:
    before = planner._before

    def of(row: RowChange, after: Row, keys: frozenset[str]) -> Row:
        key_only = row.old is not None and len(row.old) < len(after)
        return {name: after[name] for name in keys if name in after} if key_only else before(row, after, keys)

    return _patch(planner, "_before", of)


def _deleted_rows_are_dropped() -> Any:
    images = planner.row_images
    return _patch(planner, "row_images", lambda row, keys: () if row.op == "delete" else images(row, keys))


def _unsent_values_are_null() -> Any:
    images = planner.row_images

    def with_null(row: RowChange, keys: frozenset[str]) -> tuple[Row, ...]:
        unsent: Row = dict.fromkeys(row.unchanged_toast)
        return tuple({**unsent, **image} for image in images(row, keys))

    return _patch(planner, "row_images", with_null)


def _partitions_stand_for_themselves() -> Any:
    bodies = ChangeEvents.bodies

    def alone(events: ChangeEvents, transaction: Any, xid: int) -> Any:
        events.ancestors = {}
        return bodies(events, transaction, xid)

    return _patch(ChangeEvents, "bodies", alone)


# -- watched columns


def _unwatched(*kinds: type[exp.Expr], parts: Sequence[str] = ()) -> Fault:
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


def _generated_columns_stand_for_themselves() -> Any:
    def of(relation: Relation, names: set[str]) -> frozenset[str]:
        return frozenset(column.name for column in relation.columns if column.name in names)

    return _patch(watched_columns, "_of", of)


def _nothing_is_asked_for() -> Any:
    def asked(select: exp.Expr | None) -> bool:
        return isinstance(select, exp.Select) and isinstance(select.parent, exp.Exists)

    return _patch(watched_columns, "_is_only_asked_for", asked)


def _rows_are_no_values() -> Any:
    return _patch(watched_columns, "rows_as_values", lambda statement: frozenset())


def _names_of_joins_hide_nothing() -> Any:
    return _patch(watched_columns, "is_named_join", lambda item: False)


# -- values


def _numbers_keep_their_zeros() -> Any:
    return _patch(canonical, "_decimal_form", lambda sign, digits, exponent: f"{sign}{digits}e{exponent}".encode())


def _labels_are_numbers() -> Any:
    """Read the labels of an enum as something else in a statement than in a row change."""
    text = canonical.canonical_text
    labels = ("sad", "so so", "glad", "Glad")
    read = lambda oid, value: value.encode().hex().encode() if value in labels else text(oid, value)  # noqa: E731
    return _patch(answer_tags, "canonical_text", read)


def _arrays_end_at_null() -> Any:
    elements = array_values.array_elements

    def until_null(value: str) -> list[str | None] | None:
        found = elements(value)
        return found[: found.index(None)] if found is not None and None in found else found

    return _patch(answer_tags, "array_elements", until_null)


def _casts_keep_values() -> Any:
    return _patch(tag_families.Family, "kept_by_cast", lambda family, _: family.members)


def _undeclared_is_of_the_columns_type() -> Any:
    return _patch(given_conditions.GivenConditions, "_parameters_of_unsure_type", lambda _: frozenset())


def _collations_do_not_matter() -> Any:
    family = tag_families.family_of
    return _family_is(lambda column: family(replace(column, deterministic=True)))


def _char_is_text() -> Any:
    family = tag_families.family_of
    return _family_is(lambda column: family(replace(column, type_oid=25) if column.type_oid == 1042 else column))


def _family_is(of: Callable[[Column], tag_families.Family | None]) -> Any:
    return _both(_patch(tag_rules, "family_of", of), _patch(given_conditions, "family_of", of))


# -- ranges


def _ranges_lack_their_ends() -> Any:
    return _patch(answer_tags, "cover", lambda low, high: intervals.cover(low + 1, high - 1))


def _rows_are_in_small_blocks_only() -> Any:
    return _patch(planner, "blocks_of", lambda key: intervals.blocks_of(key)[:1])


def _time_zones_do_not_matter() -> Any:
    return _patch(order_keys, "_LARGEST_OFFSET_SECONDS", 0.0)


def _lower_bounds_are_upper_ones() -> Any:
    limit = value_sources.Bounds.with_limit
    return _patch(
        value_sources.Bounds, "with_limit", lambda bounds, source, is_low: limit(bounds, source, is_low=not is_low)
    )


# -- pages


def _pages_lack_nulls() -> Any:
    ordered = pages._ordered_column
    return _patch(pages, "_ordered_column", lambda relation, name, **_: ordered(relation, name, nulls_first=False))


def _every_page_is_full() -> Any:
    def blocks_of(page: pages.Page, lexed: Lexed, request: Request, rows: bytes) -> list[bytes] | None:
        found = shown_rows.row_starts(rows, 10_000) or []
        with _patch(page_end, "_limit", lambda *_: len(found)):
            return page_end.page_blocks(page, lexed, request, rows)

    return _patch(answer_tags, "page_blocks", blocks_of)


def _pages_ascend() -> Any:
    page_of = pages.page_of

    def ascending(*of: Any) -> pages.Page | None:
        page = page_of(*of)
        return None if page is None else replace(page, is_descending=False)

    return _patch(tag_rules, "page_of", ascending)


# -- keys that an answer shows


def _outer_joins_keep_all_rows() -> Any:
    return _patch(shown_keys, "_kept_by_joins", lambda select: frozenset(range(20)))


def _hidden_rows_do_not_count() -> Any:
    return _patch(shown_keys, "_COUNT_HIDDEN_ROWS", frozenset())


def _a_key_is_shown_of_every_occurrence() -> Any:
    def shown(outputs: Any, occurrence: int, shape: Shape) -> shown_keys.ShownKey | None:
        by_name = {name: place for (_, name), place in outputs._places.items()}
        places = tuple(by_name[column.name] for column in shape.columns if column.name in by_name)
        return shown_keys.ShownKey(shape, places, outputs._width) if len(places) == len(shape.columns) else None

    return _patch(shown_keys.Outputs, "shown_key", shown)


def _the_last_row_is_not_shown() -> Any:
    return _patch(answer_tags, "shown_key_tags", lambda *of: (shown_rows.shown_key_tags(*of) or ())[:-1])


def _unknown_new_rows_alter_nothing() -> Any:
    return _patch(planner, "entry_tag", lambda shape: "0:none")


@contextlib.contextmanager
def _both(one: Any, other: Any) -> Iterator[None]:
    with one, other:
        yield


FAULTS: dict[str, Fault] = {
    "left join: ON for its left side": _on_is_demanded_of("LEFT", lambda left, _: left),
    "right join: ON for its right side": _on_is_demanded_of("RIGHT", lambda _, right: {right}),
    "full join: ON for both sides": _on_is_demanded_of("FULL", lambda left, right: left | {right}),
    "outer joins are inner joins": _outer_joins_are_inner_joins,
    "comma: ON sees the other items": _on_sees_everything,
    "NOT IN is transitive": _not_in_is_an_equality,
    "OR around a correlated sub-query": _alternatives_are_conjuncts,
    "OR: one alternative": _one_alternative_is_enough,
    "aggregates over nothing": _aggregates_give_nothing_for_nothing,
    "CTE of a table's name": _a_cte_means_itself,
    "old rows": _old_rows_are_dropped,
    "old keys": _old_keys_are_dropped,
    "deleted rows": _deleted_rows_are_dropped,
    "unsent values": _unsent_values_are_null,
    "partitions": _partitions_stand_for_themselves,
    "watching: ORDER BY": _unwatched(exp.Order),
    "watching: GROUP BY": _unwatched(exp.Group),
    "watching: USING": _unwatched(exp.Join, parts=("using",)),
    "watching: generated columns": _generated_columns_stand_for_themselves,
    "watching: EXISTS (SELECT DISTINCT *)": _nothing_is_asked_for,
    "watching: rows as values": _rows_are_no_values,
    "watching: joins with a name": _names_of_joins_hide_nothing,
    "numbers keep their zeros": _numbers_keep_their_zeros,
    "labels of enums": _labels_are_numbers,
    "arrays with NULL": _arrays_end_at_null,
    "casts round": _casts_keep_values,
    "types of parameters": _undeclared_is_of_the_columns_type,
    "collations": _collations_do_not_matter,
    "char(n)": _char_is_text,
    "pages: NULLs come first": _pages_lack_nulls,
    "pages: full ones": _every_page_is_full,
    "pages: direction": _pages_ascend,
    "shown keys: outer joins": _outer_joins_keep_all_rows,
    "shown keys: OFFSET, OVER": _hidden_rows_do_not_count,
    "shown keys: which occurrence": _a_key_is_shown_of_every_occurrence,
    "shown keys: all rows": _the_last_row_is_not_shown,
    "shown keys: unknown new rows": _unknown_new_rows_alter_nothing,
    "ranges: their ends": _ranges_lack_their_ends,
    "ranges: large blocks": _rows_are_in_small_blocks_only,
    "ranges: time zones": _time_zones_do_not_matter,
    "ranges: which end": _lower_bounds_are_upper_ones,
}


def pairs_until_caught(stage: Stage, name: str, seed: str = "faults", most: int = MOST_PAIRS) -> int | None:
    """Return how many pairs it takes to catch a fault; None if it is not caught."""
    tally = Tally()
    with FAULTS[name]():
        found = first_violation(stage, seed, most, tally)
    return None if found is None else tally.pairs


def case_that_catches(stage: Stage, name: str) -> str | None:
    """Return the first case of the corpus that becomes a violation by a fault."""
    with FAULTS[name]():
        paths = sorted(CORPUS.glob("*.json"))
        return next((path.stem for path in paths if is_violation(stage, read_case(path.read_text("utf-8")))), None)


def main() -> int:
    """Try faults; return 0 when all are caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.precision.faults")
    parser.add_argument("names", nargs="*", help="which (default: all)")
    parser.add_argument("--pairs", type=int, default=MOST_PAIRS, help=f"how many at most (default {MOST_PAIRS:,})")
    arguments = parser.parse_args()
    missed = 0
    with PostgresServer(VERSION) as server, open_stage(server) as stage:
        for name in arguments.names or FAULTS:
            case = case_that_catches(stage, name)
            pairs = None if case is not None else pairs_until_caught(stage, name, most=arguments.pairs)
            missed += case is None and pairs is None
            made = "NOT CAUGHT" if pairs is None else f"caught in {pairs:,} pairs"
            sys.stdout.write(f"{name}: {made if case is None else f'caught by {case}'}\n")
            sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
