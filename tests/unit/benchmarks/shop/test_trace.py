"""A trace is made of its seed alone, and has the mix that was asked for."""

from collections import Counter

import pytest

from benchmarks.shop.reads import READ_KINDS
from benchmarks.shop.schema import ShopSize
from benchmarks.shop.trace import SESSIONS, Trace, make_trace
from benchmarks.shop.writes import WRITE_KINDS

_COUNT = 20_000


def made(seed: str = "seed", write_share: float = 0.1, count: int = _COUNT) -> Trace:
    return make_trace(seed, write_share, count, 500, ShopSize())


def test_the_same_seed_makes_the_same_trace() -> None:
    assert made(count=500) == made(count=500)
    assert made("other", count=500) != made(count=500)


@pytest.mark.parametrize("write_share", [0.01, 0.5])
def test_it_has_the_share_of_writes(write_share: float) -> None:
    writes = sum(operation.is_write for operation in made(write_share=write_share).operations)
    assert writes / _COUNT == pytest.approx(write_share, rel=0.15)


def test_every_kind_comes_as_often_as_it_weighs() -> None:
    counts = Counter(operation.kind for operation in made().operations if not operation.is_write)
    weights = sum(kind.weight for kind in READ_KINDS)
    for kind in READ_KINDS:
        assert counts[kind.name] / counts.total() == pytest.approx(kind.weight / weights, rel=0.3)
    assert {operation.kind for operation in made().operations if operation.is_write} == {
        kind.name for kind in WRITE_KINDS
    }


def test_sessions_take_turns() -> None:
    assert {operation.session for operation in made().operations} == set(range(SESSIONS))


def test_new_rows_have_new_keys() -> None:
    orders = [
        operation.statements[0].values[0]
        for operation in made(write_share=0.5).operations
        if operation.kind == "new order"
    ]
    assert orders == [str(number) for number in range(ShopSize().orders + 1, ShopSize().orders + 1 + len(orders))]


def test_each_operation_is_due_in_its_time() -> None:
    assert made(count=10).due(250) == 0.5
