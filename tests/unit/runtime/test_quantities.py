"""Durations and sizes are read as people write them, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.runtime.quantities import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("200ms", 0.2),
        ("10min", 600.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5", 1.5),
        (3, 3.0),
        (" 50 ms ", 0.05),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 64 * 1024**2), ("1MB", 10**6), ("512kib", 512 * 1024), ("10", 10), (7, 7), ("1.5KiB", 1536)],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "fast", "1 parsec", "-1s", "1s2s", None, True, [], "1e3s", "µs"])
def test_what_is_no_duration_is_refused_without_repeating_it(text: object) -> None:
    with pytest.raises(ValueError, match="it") as refusal:
        parse_duration(text)
    assert not text or str(text) not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "big", "1 furlong", "-1", None, False, 1.5])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="it"):
        parse_size(text)


@given(st.integers(1, 10**7))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-4)
