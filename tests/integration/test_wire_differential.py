"""The proxy against Postgres, message by message: streams of messages are played to both, cold and warm.

Streams that once showed a difference are kept in `tests/wire/corpus`; the others are made of a seed, here of always the
same, so that what fails is the change that was made. `make streams` plays as many as one likes of other seeds, and
`make full` some (see `docs/conformance.md`).
"""

from collections.abc import Iterator

import pytest

from tests.wire.notation import read_stream
from tests.wire.running import CORPUS, Tally, judge, judge_made
from tests.wire.world import World, two_databases

_SEED, _STREAMS = "tidegate", 30  # a dozen seconds
_SHRINK_SECONDS = 60.0
_LEAST_HIT_SHARE = 0.2  # of the reads that could have been hits when the cache was warm; it is about a third


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Both databases, for all streams."""
    with two_databases() as started:
        yield started
        log = started.log()
    assert "Traceback" not in log


@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("*.json")))
def test_what_once_differed_is_the_same(world: World, name: str) -> None:
    judge(world, read_stream((CORPUS / f"{name}.json").read_text(encoding="utf-8")), Tally())


def test_made_streams_are_answered_as_postgres_answers_them(world: World) -> None:
    tally = Tally()
    judge_made(world, (f"{_SEED}/{number}" for number in range(_STREAMS)), tally, _SHRINK_SECONDS)
    assert tally.hit_share > _LEAST_HIT_SHARE, f"{tally}: too little came from the cache"
