"""Makes a stream that shows a difference smaller, as long as the smaller one shows one too."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from tests.wire.stream import Step, Stream

T = TypeVar("T")


def smallest(stream: Stream, differs: Callable[[Stream], bool], seconds: float) -> Stream:
    """Return a smaller stream for which `differs` still holds.

    Args:
        stream: One for which it holds.
        differs: Plays a stream.
        seconds: How long to go on at most.
    """
    until = time.monotonic() + seconds
    while True:
        for candidate in _smaller(stream):
            if time.monotonic() > until:
                return stream
            if differs(candidate):
                stream = candidate
                break
        else:
            return stream


def _smaller(stream: Stream) -> Iterator[Stream]:
    """Give what to try, the greatest steps first."""
    steps = stream.steps
    for shorter in _without_runs(steps):
        yield replace(stream, steps=shorter)
    if stream.startup:
        yield replace(stream, startup=())
    for at, step in enumerate(steps):
        for simpler in _simpler(step):
            yield replace(stream, steps=(*steps[:at], simpler, *steps[at + 1 :]))


def _simpler(step: Step) -> Iterator[Step]:
    for messages in _without_runs(step.messages):
        yield replace(step, messages=messages)
    if step.cuts:
        yield replace(step, cuts=())
    if step.ahead:
        yield replace(step, ahead=False)
    if step.settled:
        yield replace(step, settled=False)


def _without_runs(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Leave out half of the items, then a quarter, and so on; never all of them."""
    size = len(items) // 2
    while size:
        for at in range(0, len(items), size):
            if len(items) > size:
                yield (*items[:at], *items[at + size :])
        size //= 2
