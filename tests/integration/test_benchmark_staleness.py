"""The shop benchmark tells an answer that its cache may give from one that it may not, by asking Postgres."""

from collections.abc import Iterator

import pytest

from benchmarks.shop.player import Played, Player, run_all
from benchmarks.shop.schema import ShopSize, setup_statements
from benchmarks.shop.staleness import wrong_answers
from benchmarks.shop.statements import statement
from benchmarks.shop.trace import Operation, Trace
from tests.servers.postgres import PostgresServer

_SIZE = ShopSize(categories=2, products=5, customers=5, orders=5, reviews=5)
_AT_FIRST = "UPDATE product SET stock = 7 WHERE id = 1"
_READ = Operation("low stock", 0, (statement("SELECT id, stock FROM product WHERE id = $1 /* x */", 1),), False)


def write(session: int) -> Operation:
    update = statement("UPDATE product SET stock = stock + $1 WHERE id = $2", 1, 1)
    return Operation("restock", session, (update, update), True)


@pytest.fixture
def copy_url(newest_postgres: PostgresServer) -> Iterator[str]:
    with newest_postgres.database("shop_staleness") as name:
        url = newest_postgres.url(name)
        run_all(url, [*setup_statements(_SIZE), _AT_FIRST])
        yield url


def answers_of(url: str, trace: Trace) -> list[bytes | None]:
    """Play a trace, and take back what it did."""
    with Player(url) as player:
        answers = [player.do(operation) for operation in trace.operations]
    run_all(url, [_AT_FIRST])
    return answers


@pytest.mark.parametrize(
    ("writer", "bound_seconds", "is_wrong"),
    [(1, 10.0, False), (1, 0.5, True), (0, 10.0, True)],
    ids=["within the bound", "older than the bound", "own write not seen"],
)
def test_an_old_answer_is_wrong_when_the_level_does_not_allow_it(
    copy_url: str, writer: int, bound_seconds: float, is_wrong: bool
) -> None:
    trace = Trace((_READ, write(writer), _READ, _READ), rate=1)
    times = [0.0, 1.0, 2.0, 3.0]
    right = answers_of(copy_url, trace)
    assert right[0] != right[2] == right[3]
    played = Played([*right[:3], right[0]], times, times)
    found = wrong_answers(copy_url, trace, played, right, bound_seconds)
    assert found == (frozenset({3}), frozenset({3} if is_wrong else ()))


def test_an_answer_that_was_never_right_is_wrong(copy_url: str) -> None:
    trace = Trace((_READ, write(1), _READ), rate=1)
    right = answers_of(copy_url, trace)
    played = Played([right[0], None, b"never"], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
    assert wrong_answers(copy_url, trace, played, right, 60.0) == (frozenset({2}), frozenset({2}))
