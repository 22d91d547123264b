"""Who reads whose writes, in one worker and across workers."""

from collections.abc import Iterable

import pytest

from services.proxy.session.write_scope import EVERYBODY, SharedWrites, WriteScopes, Written
from services.shared.runtime.settings import TokenScope

SHOPS, ORDERS = 16_384, 16_390


class Worker:
    """A worker's counters, and the other workers as they are heard."""

    def __init__(self) -> None:
        self.next_probe = 1
        self.place = 0
        self.asked = 0
        self.told: list[tuple[int, list[int | None]]] = []
        self.unheard = False
        self.coming: list[Written] = []

    def tick(self) -> int:
        self.place += 1
        return self.place

    def ask(self) -> None:
        self.asked += 1

    def tell(self, group: int, relations: Iterable[int | None]) -> None:
        self.told.append((group, list(relations)))

    def take(self) -> list[Written]:
        self.unheard = False
        return self.coming


@pytest.fixture
def worker() -> Worker:
    return Worker()


def scopes(worker: Worker, scope: TokenScope) -> WriteScopes:
    return WriteScopes(scope, lambda: worker.next_probe, worker.tick, worker.ask, worker)


def settled(shared: SharedWrites | None) -> SharedWrites:
    """Return a group once what it began with is covered."""
    assert shared is not None
    assert shared.covered((SHOPS, ORDERS), 1)
    return shared


def test_by_itself_a_session_shares_nothing(worker: Worker) -> None:
    assert scopes(worker, TokenScope.SESSION).of(b"app") is None


def test_a_group_begins_as_if_all_had_just_been_written(worker: Worker) -> None:
    """Whoever wrote for it may have left: the first session of a login reads what the last one wrote."""
    shared = scopes(worker, TokenScope.USER).of(b"app")
    assert shared is not None
    assert not shared.covered((SHOPS,), 0)
    assert not shared.quiet
    assert worker.asked == 1
    assert settled(shared).quiet


def test_sessions_of_a_login_share_and_others_do_not(worker: Worker) -> None:
    of = scopes(worker, TokenScope.USER).of
    one, same, other = settled(of(b"app")), of(b"app"), settled(of(b"report"))
    assert same is one
    worker.next_probe = 7
    one.acknowledged(frozenset({SHOPS}), 7)
    assert not one.covered((SHOPS,), 6)
    assert one.covered((ORDERS,), 6)
    assert one.covered((SHOPS,), 7)
    assert other.quiet
    assert other.covered((SHOPS,), 6)
    assert worker.told == [(one.group, [SHOPS])]


def test_all_sessions_of_a_cache_share(worker: Worker) -> None:
    of = scopes(worker, TokenScope.CACHE).of
    shared = of(b"app")
    assert shared is not None
    assert shared is of(b"report")
    assert shared.group == EVERYBODY


@pytest.mark.parametrize("group_known", [True, False])
@pytest.mark.parametrize(("relation", "covers_orders"), [(SHOPS, True), (None, False)])
def test_what_other_workers_tell_counts_from_the_next_probe(
    worker: Worker, group_known: bool, relation: int | None, covers_orders: bool
) -> None:
    shared = settled(scopes(worker, TokenScope.USER).of(b"app"))
    place = shared.last_acknowledged
    worker.next_probe, worker.unheard = 9, True
    worker.coming = [Written(shared.group if group_known else None, relation), Written(12, SHOPS)]
    assert not shared.quiet
    assert not shared.covered((SHOPS,), 8)
    assert shared.covered((ORDERS,), 8) is covers_orders
    assert shared.last_acknowledged > place
    assert shared.covered((SHOPS, ORDERS), 9)
    assert shared.quiet


def test_what_other_workers_have_told_is_heard_before_a_query_is_joined(worker: Worker) -> None:
    """`covered` is not asked where the session's own write forwards the read anyway; a query may be joined then."""
    shared = settled(scopes(worker, TokenScope.CACHE).of(b"app"))
    before = shared.last_acknowledged
    worker.unheard, worker.coming = True, [Written(EVERYBODY, SHOPS)]
    shared.hear()
    assert shared.last_acknowledged > before
