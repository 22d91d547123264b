"""The check of the demonstration finds wrong answers, and calls no right one wrong."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.audit import Read, Version, digest_of, judge

_MS = 1_000_000  # nanoseconds

# The page shows "a" at first; "b" becomes current between 1000 and 1002 ms, "a" again between 2000 and 2002 ms.
_LEDGER = {
    "product/0": [
        Version("a", 0, 0),
        Version("b", 1000 * _MS, 1002 * _MS),
        Version("a", 2000 * _MS, 2002 * _MS),
    ]
}


def _wrong(start_ms: float, end_ms: float, digest: str, max_staleness_seconds: float = 0.0) -> bool:
    read = Read("product/0", int(start_ms * _MS), int(end_ms * _MS), digest)
    return bool(judge([read], _LEDGER, max_staleness_seconds).wrong)


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "digest"),
    [
        (500, 501, "a"),
        (999, 1003, "a"),  # while it changes, both are right
        (999, 1003, "b"),
        (1001, 1001.5, "a"),
        (1001, 1001.5, "b"),
        (1500, 1501, "b"),
        (2500, 2501, "a"),  # the second time that it shows "a"
    ],
)
def test_what_may_have_been_current_during_the_read_is_right(start_ms: float, end_ms: float, digest: str) -> None:
    assert not _wrong(start_ms, end_ms, digest)


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "digest"),
    [
        (500, 501, "b"),  # from the future
        (500, 501, "c"),  # never an answer of Postgres
        (1003, 1004, "a"),  # out of date
        (2003, 2004, "b"),
    ],
)
def test_what_cannot_have_been_current_is_wrong(start_ms: float, end_ms: float, digest: str) -> None:
    assert _wrong(start_ms, end_ms, digest)


def test_an_answer_may_be_as_old_as_the_bound_and_no_older() -> None:
    assert not _wrong(1102, 1103, "a", max_staleness_seconds=0.1)
    assert _wrong(1102.001, 1103, "a", max_staleness_seconds=0.1)


def test_the_stalest_answer_is_reported() -> None:
    reads = [Read("product/0", 1012 * _MS, 1013 * _MS, "a"), Read("product/0", 1500 * _MS, 1501 * _MS, "b")]

    verdict = judge(reads, _LEDGER, 1.0)

    assert verdict.checked == 2
    assert verdict.stale == 1
    assert verdict.stalest_seconds == pytest.approx(0.010)


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[Version], list[int]]:
    """Versions, and for each the instant within its interval at which it really became current."""
    versions, instants, time = [Version("0", 0, 0)], [0], 0
    for number in range(draw(st.integers(0, 5))):
        sent = time + draw(st.integers(0, 50))
        instant = sent + draw(st.integers(0, 20))
        time = instant + draw(st.integers(0, 20))
        versions.append(Version(str(draw(st.integers(0, 2))) if number % 2 else str(number), sent, time))
        instants.append(instant)
    return versions, instants


@settings(deadline=None, max_examples=300)  # a busy machine is slow, which is no failure
@given(_histories(), st.integers(0, 400), st.integers(0, 30), st.integers(0, 100), st.data())
def test_an_answer_that_was_current_within_the_bound_is_never_called_wrong(
    history: tuple[list[Version], list[int]], start: int, length: int, bound: int, data: st.DataObject
) -> None:
    versions, instants = history
    seen_at = data.draw(st.integers(max(start - bound, 0), start + length))
    read = Read("p", start, start + length, _current(versions, instants, seen_at))

    assert judge([read], {"p": versions}, bound / 1e9).wrong == ()


def _current(versions: Sequence[Version], instants: Sequence[int], when: int) -> str:
    return next(v.digest for v, since in zip(reversed(versions), reversed(instants), strict=True) if since <= when)


def test_digests_tell_answers_apart_by_values_and_order() -> None:
    assert digest_of([(1, "a"), (2, "b")]) == digest_of([[1, "a"], [2, "b"]])
    assert digest_of([(1, "a"), (2, "b")]) != digest_of([(2, "b"), (1, "a")])
    assert digest_of([]) != digest_of([(None,)])
