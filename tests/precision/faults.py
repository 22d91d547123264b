"""Is the property test able to fail? Each rule of `docs/precision.md` is broken in turn, and has to be caught.

python -m tests.precision.faults                    all of them; the kept case that finds each, or how many made pairs
python -m tests.precision.faults "old rows"         one of them

A fault replaces a function while it is there. Where a mistake cannot be made by leaving something out, since the code
leaves nothing to be left out, the fault adds what the rule forbids.
"""

import argparse
import sys

from sqlglot import exp

from tests.precision import broken_statements as statements
from tests.precision import broken_values as values
from tests.precision.broken_statements import Fault
from tests.precision.case import read_case
from tests.precision.running import CORPUS, first_violation, is_violation
from tests.precision.stage import Stage, open_stage
from tests.precision.tally import Tally
from tests.servers.postgres import PostgresServer

VERSION = "15"  # of a build that knows collations in which different texts are equal
MOST_PAIRS = 60_000  # all but a few are caught in 6,000; chance decides


FAULTS: dict[str, Fault] = {
    "left join: ON for its left side": statements.on_is_demanded_of("LEFT", lambda left, _: left),
    "right join: ON for its right side": statements.on_is_demanded_of("RIGHT", lambda _, right: {right}),
    "full join: ON for both sides": statements.on_is_demanded_of("FULL", lambda left, right: left | {right}),
    "outer joins are inner joins": statements.outer_joins_are_inner_joins,
    "comma: ON sees the other items": statements.on_sees_everything,
    "NOT IN is transitive": statements.not_in_is_an_equality,
    "OR around a correlated sub-query": statements.alternatives_are_conjuncts,
    "OR: one alternative": statements.one_alternative_is_enough,
    "aggregates over nothing": statements.aggregates_give_nothing_for_nothing,
    "CTE of a table's name": statements.a_cte_means_itself,
    "old rows": values.old_rows_are_dropped,
    "old keys": values.old_keys_are_dropped,
    "deleted rows": values.deleted_rows_are_dropped,
    "unsent values": values.unsent_values_are_null,
    "partitions": values.partitions_stand_for_themselves,
    "watching: ORDER BY": statements.unwatched(exp.Order),
    "watching: GROUP BY": statements.unwatched(exp.Group),
    "watching: USING": statements.unwatched(exp.Join, parts=("using",)),
    "watching: generated columns": statements.generated_columns_stand_for_themselves,
    "watching: EXISTS (SELECT DISTINCT *)": statements.nothing_is_asked_for,
    "watching: rows as values": statements.rows_are_no_values,
    "watching: joins with a name": statements.names_of_joins_hide_nothing,
    "numbers keep their zeros": values.numbers_keep_their_zeros,
    "labels of enums": values.labels_are_numbers,
    "arrays with NULL": values.arrays_end_at_null,
    "casts round": values.casts_keep_values,
    "types of parameters": values.undeclared_is_of_the_columns_type,
    "collations": values.collations_do_not_matter,
    "char(n)": values.char_is_text,
    "pages: NULLs come first": statements.pages_lack_nulls,
    "pages: full ones": statements.every_page_is_full,
    "pages: direction": statements.pages_ascend,
    "shown keys: outer joins": statements.outer_joins_keep_all_rows,
    "shown keys: OFFSET, OVER": statements.hidden_rows_do_not_count,
    "shown keys: which occurrence": statements.a_key_is_shown_of_every_occurrence,
    "shown keys: all rows": statements.the_last_row_is_not_shown,
    "shown keys: unknown new rows": statements.unknown_new_rows_alter_nothing,
    "ranges: their ends": values.ranges_lack_their_ends,
    "ranges: large blocks": values.rows_are_in_small_blocks_only,
    "ranges: time zones": values.time_zones_do_not_matter,
    "ranges: which end": values.lower_bounds_are_upper_ones,
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
