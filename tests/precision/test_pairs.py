"""Whenever a transaction changes an answer, the answer's entry is evicted: made pairs of both, on real servers.

Pairs that once were violations are kept in `corpus`; the others are made of a seed, here of always the same, so that
what fails is the change that was made. `make soak` plays as many as one likes of other seeds.
"""

from collections.abc import Iterator

import pytest

from tests.precision.case import read_case
from tests.precision.faults import pairs_until_caught
from tests.precision.running import CORPUS, is_violation, judge_made
from tests.precision.stage import Stage, open_stage
from tests.precision.tally import Tally
from tests.servers.postgres import PostgresServer

_SEED, _PAIRS = "tidegate", 6_000  # on each of two servers: ten seconds
_SHRINK_SECONDS = 60.0
_LEAST_CACHED, _LEAST_CHANGED = 0.9, 0.1


@pytest.fixture(scope="module")
def stage(postgres: PostgresServer) -> Iterator[Stage]:
    with open_stage(postgres, f"precision_{postgres.version}") as opened:
        yield opened


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("*.json")))
def test_what_once_was_kept_is_evicted(stage: Stage, name: str) -> None:
    assert not is_violation(stage, read_case((CORPUS / f"{name}.json").read_text(encoding="utf-8")))


def test_no_answer_that_changed_is_kept(stage: Stage) -> None:
    tally = Tally()
    judge_made(stage, _SEED, _PAIRS, tally, _SHRINK_SECONDS)
    assert tally.cached_share > _LEAST_CACHED, f"too few of the queries are cached: {tally.refused}"
    changed = sum(cell.changed for cell in tally.cells.values())
    assert changed > _LEAST_CHANGED * tally.pairs, f"too few of the transactions change an answer: {changed}"


@pytest.mark.parametrize("fault", ["outer joins are inner joins", "old rows", "numbers keep their zeros", "partitions"])
def test_a_broken_rule_is_caught(stage: Stage, fault: str) -> None:
    """All of them: `python -m tests.precision.faults`."""
    assert pairs_until_caught(stage, fault, most=6_000) is not None
