"""When a replication slot has to go."""

import pytest

from services.proxy.slot_watch import Limits, Use

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


def test_a_reader_that_stays_uses_the_slot_though_it_confirms_nothing() -> None:
    use = Use(now=0.0)
    for second in range(10, 100, 10):
        use.looked(float(second), 4711, "0/1")

    assert use.looked(100.0, 4711, "0/1") == 0.0


def test_readers_that_come_and_go_at_one_place_do_not_use_it() -> None:
    use = Use(now=0.0)
    use.looked(10.0, None, "0/1")
    for second in range(20, 100, 10):
        use.looked(float(second), 4711 + second if second % 20 else None, "0/1")

    assert use.looked(100.0, 4711, "0/1") == 90.0


def test_readers_that_come_and_go_and_get_further_use_it() -> None:
    use = Use(now=0.0)
    use.looked(10.0, 4711, "0/1")

    assert use.looked(20.0, None, "0/2") == 0.0


def test_a_slot_that_was_made_anew_begins_anew() -> None:
    use = Use(now=0.0)
    use.looked(10.0, None, "0/1")
    use.gone(50.0)

    assert use.looked(60.0, None, "0/1") == 0.0
