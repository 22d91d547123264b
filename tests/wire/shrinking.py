"""Makes a stream that shows a difference smaller, as long as the smaller one shows one too."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests import shrinking
from tests.shrinking import without_runs
from tests.wire.stream import Step, Stream


def smallest(stream: Stream, differs: Callable[[Stream], bool], seconds: float) -> Stream:
    """Return a smaller stream for which `differs` still holds.

    Args:
        stream: One for which it holds.
        differs: Plays a stream.
        seconds: How long to go on at most.
    """
    return shrinking.smallest(stream, _smaller, differs, seconds)


def _smaller(stream: Stream) -> Iterator[Stream]:
    """Give what to try, the greatest steps first."""
    steps = stream.steps
    for shorter in without_runs(steps):
        yield replace(stream, steps=shorter)
    if stream.startup:
        yield replace(stream, startup=())
    for at, step in enumerate(steps):
        for simpler in _simpler(step):
            yield replace(stream, steps=(*steps[:at], simpler, *steps[at + 1 :]))


def _simpler(step: Step) -> Iterator[Step]:
    for messages in without_runs(step.messages):
        yield replace(step, messages=messages)
    if step.cuts:
        yield replace(step, cuts=())
    if step.ahead:
        yield replace(step, ahead=False)
    if step.settled:
        yield replace(step, settled=False)
