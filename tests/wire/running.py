"""Plays streams one after the other. One that differs is made smaller, shown, and written down to be kept.

A stream has a name, `seed/number`, which is all that it takes to make it again.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.wire.grammar import make_stream
from tests.wire.notation import write_stream
from tests.wire.playing import WrongModel, play, show_stream
from tests.wire.shrinking import smallest
from tests.wire.stream import Stream
from tests.wire.world import World

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / ".cache" / "wire"

_SHRINKING_PATIENCE = 2.0  # seconds for a late answer; shorter, since many a smaller stream is played


@dataclass(slots=True)
class Tally:
    """What came of many streams.

    Attributes:
        streams: How many were played.
        hits: How many reads the cache answered, when it was warm.
        misses: How many it could have answered then, but had to fetch.
    """

    streams: int = 0
    hits: int = 0
    misses: int = 0

    @property
    def hit_share(self) -> float:
        """Of the reads that could have been hits, how many were."""
        return self.hits / max(1, self.hits + self.misses)


class AnswersDiffer(AssertionError):
    """Postgres and the proxy said different things, or did."""


def judge(world: World, stream: Stream, tally: Tally) -> None:
    """Play a stream.

    Raises:
        AnswersDiffer: The two sides do.
        WrongModel: See `play`.
    """
    playing = play(world, stream)
    tally.streams += 1
    tally.hits += playing.hits
    tally.misses += playing.misses
    if playing.differences:
        raise AnswersDiffer(f"{stream.why}\n{show_stream(stream)}\n{playing.differences}")


def judge_made(world: World, names: Iterable[str], tally: Tally, shrink_seconds: float) -> None:
    """Make streams and play them, up to the first that differs.

    Args:
        world: Where.
        names: Of the streams.
        tally: To be added to.
        shrink_seconds: How long to look for a smaller one that differs too.

    Raises:
        AnswersDiffer: With the smallest stream, both transcripts, and where the stream was stored.
        WrongModel: See `play`.
    """
    for name in names:
        stream = make_stream(name)
        try:
            judge(world, stream, tally)
        except AnswersDiffer as error:
            raise _made_smaller(world, name, stream, error, shrink_seconds) from error


def _made_smaller(
    world: World, name: str, stream: Stream, error: AnswersDiffer, shrink_seconds: float
) -> AnswersDiffer:
    """Return the error that shows the smallest stream."""
    if not _difference(world, stream):
        return AnswersDiffer(f"stream {name} differed once, and not when it was played again:\n{error}")
    found = smallest(stream, lambda smaller: bool(_difference(world, smaller)), shrink_seconds)
    path = _store(found)
    difference = _difference(world, found) or f"(not when it was played once more; the whole stream:)\n{error}"
    return AnswersDiffer(f"stream {name}, made smaller and kept in {path}:\n{show_stream(found)}\n{difference}")


def _difference(world: World, stream: Stream) -> str:
    try:
        return play(world, stream, _SHRINKING_PATIENCE).differences
    except WrongModel:
        return ""


def _store(stream: Stream) -> Path:
    text = write_stream(replace(stream, why="found by chance: say here what differed"))
    path = FOUND / f"found-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
