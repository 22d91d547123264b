"""What a session wrote itself: under way, acknowledged, covered; blocks add up (consistency contract, 9.6)."""

import pytest

from services.proxy.session.own_writes import OwnWrites
from services.proxy.session.planning import ANY_EFFECT, NO_EFFECT, Effect

SHOPS, ORDERS = 16_384, 16_390
WRITES_SHOPS, WRITES_ORDERS = Effect(frozenset({SHOPS})), Effect(frozenset({ORDERS}))


@pytest.fixture
def writes() -> OwnWrites:
    return OwnWrites(counted=True)


def test_reads_leave_no_token(writes: OwnWrites) -> None:
    writes.begin(NO_EFFECT)
    assert writes.tokens is None
    assert writes.visible(7) == NO_EFFECT
    assert writes.tokens is None
    assert writes.covered((SHOPS,), 0)


def test_a_write_is_covered_by_the_probe_behind_its_acknowledgement(writes: OwnWrites) -> None:
    writes.begin(WRITES_SHOPS)
    assert not writes.covered((SHOPS,), 10**9)
    assert writes.visible(7) == WRITES_SHOPS
    assert not writes.covered((SHOPS,), 6)
    assert writes.covered((ORDERS,), 6)
    assert writes.tokens is not None
    assert writes.covered((SHOPS,), 7)


def test_the_hot_path_is_open_again_when_everything_is_covered(writes: OwnWrites) -> None:
    writes.begin(WRITES_SHOPS)
    writes.visible(7)
    writes.covered((ORDERS,), 7)
    assert writes.tokens is None


def test_the_writes_of_a_block_become_visible_at_its_end(writes: OwnWrites) -> None:
    writes.begin(WRITES_SHOPS)
    writes.begin(NO_EFFECT)
    writes.begin(WRITES_ORDERS)
    assert not writes.covered((SHOPS,), 10**9)
    assert writes.visible(9).writes == frozenset({SHOPS, ORDERS})
    assert not writes.covered((SHOPS,), 8)
    assert not writes.covered((ORDERS,), 8)
    assert writes.covered((SHOPS, ORDERS), 9)
    assert writes.visible(12) == NO_EFFECT


def test_a_block_that_may_have_written_anything(writes: OwnWrites) -> None:
    writes.begin(WRITES_SHOPS)
    writes.begin(ANY_EFFECT)
    done = writes.visible(9)
    assert (done.writes, done.schema) == (None, True)
    assert not writes.covered((ORDERS,), 8)
    assert not writes.covered((), 8)
    assert writes.covered((SHOPS, ORDERS), 9)
    assert writes.tokens is None


def test_a_later_write_moves_the_token(writes: OwnWrites) -> None:
    writes.begin(WRITES_SHOPS)
    writes.visible(7)
    writes.begin(WRITES_SHOPS)
    writes.visible(9)
    assert not writes.covered((SHOPS,), 8)


def test_at_level_bounded_the_hot_path_asks_for_nothing_but_what_was_written_is_known() -> None:
    writes = OwnWrites(counted=False)
    writes.begin(ANY_EFFECT)
    assert writes.visible(7) == ANY_EFFECT
    assert writes.tokens is None
    assert not writes.covered((SHOPS,), 6)
    writes.count(counted=True)
    assert not writes.covered((SHOPS,), 6)
    assert writes.covered((SHOPS,), 7)


def test_what_a_token_stands_for_may_be_anything(writes: OwnWrites) -> None:
    writes.require(7)
    assert not writes.covered((SHOPS,), 6)
    assert writes.covered((SHOPS,), 7)


def test_what_may_have_been_ddl_is_counted_when_it_shows(writes: OwnWrites) -> None:
    writes.begin(Effect(frozenset(), schema=True))
    writes.begin(Effect(frozenset()))
    assert (writes.defining, writes.definitions) == (True, 0)
    writes.visible(1)
    assert (writes.defining, writes.definitions) == (False, 1)
    writes.begin(Effect(None))
    writes.visible(2)
    assert (writes.defining, writes.definitions) == (False, 1)
