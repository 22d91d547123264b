"""When a replication slot has to go."""

import pytest

from services.proxy.slot_watch import Limits

LIMITS = Limits(patience=600.0, kept_bytes=1_000)


@pytest.mark.parametrize(
    ("limits", "behind", "unused", "too_large", "goes"),
    [
        (LIMITS, 1_000, 600.0, 60.0, False),
        (LIMITS, 1_001, 0.0, 0.0, True),
        (LIMITS, 0, 601.0, 0.0, True),
        (LIMITS, 0, 0.0, 61.0, True),
        (Limits(0.0, 1_000), 0, 1e9, 0.0, False),
        (Limits(600.0, 0), 10**15, 0.0, 0.0, False),
    ],
)
def test_a_slot_goes_past_a_limit_that_is_set(
    limits: Limits, behind: int, unused: float, too_large: float, goes: bool
) -> None:
    assert bool(limits.reason(behind, unused, too_large)) is goes
