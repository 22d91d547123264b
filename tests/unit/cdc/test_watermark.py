"""What a watermark says, and when there is one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.cdc.gate import Snapshot
from services.cdc.transactions import Transaction
from services.cdc.watermark import (
    HEARTBEAT_AFTER_SECONDS,
    PATIENCE_SECONDS,
    PERIOD_SECONDS,
    SPACING_SECONDS,
    Round,
    WatermarkSchedule,
    watermark_at,
)
from services.shared.lsn import Lsn

QUIET = Snapshot(10, 10, frozenset())


def transaction(start: int, end: int) -> Transaction:
    return Transaction(1, Lsn(start), Lsn(end), 0, ())


def send(schedule: WatermarkSchedule, insert_lsn: int, snapshot: Snapshot = QUIET, now: float = 0.0) -> None:
    schedule.sent(Round(Lsn(insert_lsn), snapshot, now, urgent=True))


def test_with_nothing_held_everything_up_to_the_insert_lsn_is_covered() -> None:
    assert watermark_at(Lsn(800), []) == (801, 800)


def test_a_held_transaction_leaves_the_insert_lsn_itself_uncovered() -> None:
    """A probe that reads L = a after the transaction became visible must not be covered."""
    assert watermark_at(Lsn(800), [transaction(640, 680), transaction(720, 760)]) == (800, 640)


def test_what_ends_beyond_the_insert_lsn_is_not_held_at_it() -> None:
    assert watermark_at(Lsn(800), [transaction(800, 840)]) == (801, 800)


def test_held_and_settled_end_where_the_held_commit_record_starts() -> None:
    """Postgres skips a transaction whose commit record starts below what was confirmed."""
    assert watermark_at(Lsn(800), [transaction(720, 800)]).settled == 720


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.sets(st.integers(0, 11)), st.integers(0, 12))
def test_settled_covers_every_published_end_before_the_first_held_one(
    sizes: list[int], held_indexes: set[int], seen: int
) -> None:
    edges = [8]
    for size in sizes:
        edges.append(edges[-1] + 8 * size)
    commits = [transaction(start, end) for start, end in pairwise(edges)]
    insert_lsn = Lsn(edges[min(seen, len(sizes))])
    held = [commit for index, commit in enumerate(commits) if index in held_indexes]
    watermark, settled = watermark_at(insert_lsn, held)
    below = [commit for commit in held if commit.end_lsn <= insert_lsn]
    assert watermark == (insert_lsn if below else insert_lsn + 1)
    assert settled <= insert_lsn
    assert all(commit.end_lsn > settled and commit.commit_lsn >= settled for commit in below)
    published = [commit for commit in commits if commit not in held and commit.end_lsn <= insert_lsn]
    first_held = min((commit.end_lsn for commit in below), default=insert_lsn + 1)
    assert all(commit.end_lsn <= settled for commit in published if commit.end_lsn < first_held)


def test_the_first_watermark_is_due_at_once_and_on_an_idle_database_it_is_the_last() -> None:
    schedule = WatermarkSchedule()
    assert schedule.look_at < 0
    assert schedule.looked(0.0, Lsn(800))
    send(schedule, 800)
    assert schedule.look_at == PERIOD_SECONDS
    assert not schedule.looked(PERIOD_SECONDS, Lsn(800))


def test_a_look_comes_soon_after_a_publication_and_late_otherwise() -> None:
    schedule = WatermarkSchedule()
    schedule.looked(1.0, Lsn(800))
    send(schedule, 800)
    assert schedule.look_at == 1.0 + PERIOD_SECONDS
    schedule.published()
    assert schedule.look_at == 1.0 + SPACING_SECONDS
    assert schedule.looked(1.1, Lsn(800))  # even where the insert LSN stands still


def test_a_moved_insert_lsn_is_worth_a_round() -> None:
    schedule = WatermarkSchedule()
    send(schedule, 800)
    assert schedule.looked(1.0, Lsn(888))


def test_a_heartbeat_is_hurried_only_if_a_transaction_may_have_ended() -> None:
    schedule = WatermarkSchedule()
    assert schedule.is_urgent(QUIET)
    send(schedule, 800)
    assert not schedule.is_urgent(QUIET)
    assert schedule.is_urgent(Snapshot(10, 11, frozenset({10})))
    schedule.published()
    assert schedule.is_urgent(QUIET)
    assert Round(Lsn(8), QUIET, 1.0, urgent=True).heartbeat_at == 1.0 + HEARTBEAT_AFTER_SECONDS
    assert Round(Lsn(8), QUIET, 1.0, urgent=False).heartbeat_at == 1.0 + PATIENCE_SECONDS
