"""What was asked for lately is known again, and what was long ago is not."""

import random

from services.proxy.admission.sightings import Sightings


def numbers(count: int, seed: int = 1) -> list[int]:
    chooser = random.Random(seed)
    return [chooser.getrandbits(64) - (1 << 63) for _ in range(count)]


def test_a_number_is_known_from_the_second_time_on() -> None:
    sightings = Sightings()
    for number in numbers(100):
        assert [sightings.again(number) for _ in range(3)] == [False, True, True]


def test_as_many_are_remembered_as_are_promised() -> None:
    sightings, seen = Sightings(), numbers(130_000)
    assert sum(map(sightings.again, seen)) < 5
    assert sum(map(sightings.again, seen)) > 0.75 * len(seen)


def test_what_was_not_seen_for_long_is_forgotten() -> None:
    sightings, seen = Sightings(), numbers(1_000)
    for number in seen:
        sightings.again(number)
    for number in numbers(400_000, seed=2):
        sightings.again(number)
    assert sum(map(sightings.again, seen)) < 5


def test_what_is_seen_now_and_then_stays_known() -> None:
    sightings, popular = Sightings(), numbers(1)[0]
    known: list[bool] = []
    for turn, number in enumerate(numbers(600_000, seed=2)):
        sightings.again(number)
        if turn % 50_000 == 0:
            known.append(sightings.again(popular))
    assert known.count(False) <= 2  # the first time, and where another may have taken its cell


def test_it_takes_no_memory_before_it_is_used() -> None:
    assert not Sightings()._newer
