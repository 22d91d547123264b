"""What a watermark says, and when there is one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.cdc.gate import Look, Snapshot
from services.cdc.transactions import Transaction
from services.cdc.watermark import (
    HEARTBEAT_AFTER_SECONDS,
    LEAST_SPACING_SECONDS,
    MOST_SPACING_SECONDS,
    PATIENCE_SECONDS,
    PERIOD_SECONDS,
    Round,
    WatermarkSchedule,
    watermark_at,
)
from services.shared.lsn import Lsn

QUIET = Snapshot(10, 10, frozenset())


def transaction(start: int, end: int) -> Transaction:
    return Transaction(1, Lsn(start), Lsn(end), 0, ())


def look(insert_lsn: int, snapshot: Snapshot = QUIET) -> Look:
    return Look(snapshot, Lsn(insert_lsn))


def settled_schedule() -> WatermarkSchedule:
    """One whose first watermark, at 800, was sent at the time 0."""
    schedule = WatermarkSchedule()
    schedule.looked(0.0, look(800), Lsn(792))
    schedule.looked(0.0, look(800), Lsn(800))
    schedule.sent(0.0)
    return schedule


def under_way(schedule: WatermarkSchedule) -> bool:
    return schedule.round is not None


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
    schedule.looked(0.0, look(800), Lsn(800))
    assert schedule.look_at < 0  # no round yet
    schedule.looked(0.0, look(800), Lsn(800))
    assert schedule.round == Round(Lsn(800), QUIET, 0.0, urgent=True)
    schedule.sent(0.0)
    assert schedule.look_at == PERIOD_SECONDS
    schedule.looked(PERIOD_SECONDS, look(800), Lsn(800))
    assert not under_way(schedule)
    assert schedule.look_at == 2 * PERIOD_SECONDS


def test_a_round_has_the_insert_lsn_of_one_look_and_the_snapshot_of_a_later_one() -> None:
    """A snapshot that was taken before `a` was read may lack what became visible between the two."""
    schedule = settled_schedule()
    later = Snapshot(12, 12, frozenset())
    schedule.looked(1.0, look(888), Lsn(800))
    schedule.looked(1.1, look(999, later), Lsn(800))
    assert schedule.round is not None
    assert (schedule.round.insert_lsn, schedule.round.snapshot) == (888, later)


def test_what_a_look_publishes_is_covered_by_it() -> None:
    """The WAL had reached what the stream had delivered when the look began, so its snapshot was taken after that."""
    schedule = settled_schedule()
    schedule.published()
    schedule.looked(1.0, look(848), Lsn(840))
    assert schedule.round == Round(Lsn(840), QUIET, 1.0, urgent=True)


def test_what_was_held_and_is_published_raises_the_watermark_although_the_insert_lsn_stands_still() -> None:
    schedule = settled_schedule()
    schedule.published()
    schedule.looked(1.0, look(800), Lsn(800))
    assert schedule.round == Round(Lsn(800), QUIET, 1.0, urgent=True)


def test_a_commit_is_not_kept_waiting_by_a_round_that_waits_for_the_stream() -> None:
    schedule = settled_schedule()
    schedule.looked(1.0, look(888), Lsn(800))
    schedule.looked(1.0, look(888), Lsn(800))
    schedule.published()
    schedule.looked(1.1, look(960), Lsn(840))
    assert schedule.round == Round(Lsn(840), QUIET, 1.1, urgent=True)
    schedule.sent(1.1)
    assert schedule.look_at == 1.1 + LEAST_SPACING_SECONDS  # the insert LSN is ahead still
    schedule.looked(1.2, look(960), Lsn(840))
    assert schedule.round == Round(Lsn(960), QUIET, 1.2, urgent=False)


def test_watermarks_keep_their_distance() -> None:
    schedule = settled_schedule()
    assert schedule.paced_at == LEAST_SPACING_SECONDS
    schedule.looked(1.0, look(848), Lsn(800))
    assert schedule.look_at == LEAST_SPACING_SECONDS
    schedule.looked(1.0, look(848), Lsn(800))
    assert schedule.look_at == 1.0 + PERIOD_SECONDS  # the round waits for the stream
    schedule.sent(1.1)
    assert schedule.paced_at == 1.1 + LEAST_SPACING_SECONDS
    assert schedule.look_at == 1.0 + PERIOD_SECONDS


def test_the_distance_grows_when_looks_take_long() -> None:
    schedule = settled_schedule()
    for _ in range(100):
        schedule.pace.note(0.0001)
        schedule.pace.note(1.0)
    assert schedule.paced_at == MOST_SPACING_SECONDS


def test_a_round_that_waits_keeps_its_insert_lsn_and_takes_newer_snapshots() -> None:
    schedule = settled_schedule()
    schedule.looked(1.0, look(888), Lsn(800))
    schedule.looked(1.0, look(888), Lsn(800))
    later = Snapshot(12, 12, frozenset())
    schedule.looked(1.1, look(960, later), Lsn(800))
    assert schedule.round == Round(Lsn(888), later, 1.0, urgent=True)


def test_a_heartbeat_is_hurried_only_if_a_transaction_may_have_ended() -> None:
    schedule = settled_schedule()
    schedule.looked(1.0, look(888), Lsn(800))
    schedule.looked(1.0, look(888), Lsn(800))
    assert schedule.round is not None
    assert schedule.round.heartbeat_at == 1.0 + PATIENCE_SECONDS
    schedule.looked(1.1, look(888, Snapshot(10, 11, frozenset({10}))), Lsn(800))
    assert schedule.round.heartbeat_at == 1.0 + HEARTBEAT_AFTER_SECONDS
    schedule.sent(1.2)
    schedule.published()
    schedule.looked(1.3, look(960, Snapshot(10, 11, frozenset({10}))), Lsn(900))
    assert schedule.round.heartbeat_at == 1.3 + HEARTBEAT_AFTER_SECONDS
