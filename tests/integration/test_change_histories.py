"""What is evicted against what changed: histories of changes and definitions are played to a database behind the stack.

Histories that once showed a violation are kept in `tests/changes/corpus`; the others are made of a seed, here of always
the same, so that what fails is the change that was made. `make changes` plays others on every version of Postgres (see
`docs/conformance.md`).
"""

from collections.abc import Iterator

import pytest

from tests.changes.notation import read_history
from tests.changes.running import CORPUS, Tally, judge, judge_made
from tests.changes.stage import Stage, staged
from tests.servers.postgres_programs import NEWEST, OLDEST

_SEED, _HISTORIES = "tidegate", 3  # ten seconds a version
_SHRINK_SECONDS = 60.0
_LEAST_HIT_SHARE = 0.25  # it is about a half; a run in which nothing comes from the cache proves nothing
_LEAST_SUCCESS_SHARE = 0.6  # of the statements; it is about nine of ten


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The newest and the oldest Postgres, each with a stack for all histories."""
    with staged(request.param) as started:
        yield started


def test_what_was_once_wrong_is_right(stage: Stage) -> None:
    for path in sorted(CORPUS.glob("*.sql")):
        history = read_history(path.read_text(encoding="utf-8"))
        if history.since <= stage.version:
            judge(stage, history, Tally())


def test_made_histories_are_told_and_evicted_as_they_happen(stage: Stage) -> None:
    tally = Tally()
    judge_made(stage, (f"{_SEED}/{number}" for number in range(_HISTORIES)), tally, _SHRINK_SECONDS)
    assert tally.hit_share > _LEAST_HIT_SHARE, str(tally)
    assert tally.success_share > _LEAST_SUCCESS_SHARE, str(tally)
    assert tally.precision.changed, str(tally)
