"""From messages to committed transactions."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from services.cdc.pgoutput.decoder import Decoder
from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import (
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Relation,
    ReplicaIdentity,
    RowMessage,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Update,
)
from services.cdc.transactions import Assembler, Bounds, Transaction
from services.shared.lsn import Lsn
from tests.unit.cdc.samples import recorded_sessions

BEGIN, COMMIT = Begin(Lsn(80), 5, 700), Commit(Lsn(80), Lsn(120), 6)


def relation(oid: int, *columns: str) -> Relation:
    described = tuple(Column(name, 25, -1, name == "id") for name in columns or ("id",))
    return Relation(oid, "public", f"t{oid}", ReplicaIdentity.DEFAULT, described)


def streamed_relation(xid: int, oid: int, *columns: str) -> Relation:
    return replace(relation(oid, *columns), stream_xid=xid)


def run(messages: Sequence[Message], bounds: Bounds | None = None, size: int = 10) -> list[Transaction]:
    assembler = Assembler(bounds or Bounds())
    fed = [assembler.feed(message, size) for message in messages]
    return [transaction for transaction in fed if transaction is not None]


def test_rows_are_grouped_by_relation_in_their_order() -> None:
    rows: list[RowMessage] = [
        Insert(1, ("a",)),
        Insert(2, ("x",)),
        Update(1, None, False, ("b",)),
        Delete(1, ("c",), True),
    ]
    (transaction,) = run([relation(1), relation(2), BEGIN, *rows, COMMIT])
    assert (transaction.xid, transaction.commit_lsn, transaction.end_lsn) == (700, 80, 120)
    assert [(change.relation.oid, change.wide) for change in transaction.changes] == [(1, None), (2, None)]
    assert transaction.changes[0].rows == (rows[0], rows[2], rows[3])


def test_a_transaction_that_touched_nothing_published_is_empty() -> None:
    message = LogicalMessage(True, Lsn(80), "tidegate", b"")
    assert [transaction.changes for transaction in run([BEGIN, message, COMMIT])] == [()]


def test_a_transaction_says_that_it_changes_the_catalog() -> None:
    message = LogicalMessage(True, Lsn(80), "tidegate", b"ddl")
    assert [transaction.catalog_changed for transaction in run([BEGIN, message, COMMIT, BEGIN, COMMIT])] == [
        True,
        False,
    ]


def test_a_transaction_in_progress_says_it_too() -> None:
    message = LogicalMessage(True, Lsn(80), "tidegate", b"ddl", 701)
    pieces: list[Message] = [StreamStart(700, True), message, StreamStop(), StreamStart(700, False), StreamStop()]
    (transaction,) = run([*pieces, StreamCommit(700, Lsn(80), Lsn(120), 6)])
    assert transaction.catalog_changed


def test_truncate_says_all_there_is_to_say_of_a_relation() -> None:
    messages: list[Message] = [Insert(1, ("a",)), Truncate((1, 2), False, False), Insert(1, ("b",))]
    (transaction,) = run([relation(1), relation(2), BEGIN, *messages, COMMIT])
    assert [(change.wide, change.rows) for change in transaction.changes] == [("truncate", ()), ("truncate", ())]


def test_a_bulk_change_stays_a_truncate_once_it_was_one() -> None:
    messages: list[Message] = [Truncate((1,), False, False), *(Insert(1, ("a",)) for _ in range(9))]
    (transaction,) = run([relation(1), BEGIN, *messages, COMMIT], Bounds(relation_rows=2))
    assert transaction.changes[0].wide == "truncate"


_ROW = 10 + 200 + 60  # bytes that a row of one column counts for


@pytest.mark.parametrize(
    "bounds", [Bounds(relation_rows=2), Bounds(relation_bytes=3 * _ROW - 1), Bounds(open_bytes=4 * _ROW - 1)]
)
def test_past_a_bound_a_relation_is_changed_in_bulk_and_the_others_are_not(bounds: Bounds) -> None:
    rows = [Insert(2, ("x",)), Insert(1, ("a",)), Insert(1, ("b",)), Insert(1, ("c",)), Insert(1, ("d",))]
    (transaction,) = run([relation(1), relation(2), BEGIN, *rows, COMMIT], bounds)
    changes = {change.relation.oid: change for change in transaction.changes}
    assert (changes[1].wide, changes[1].rows) == ("bulk", ())
    assert (changes[2].wide, len(changes[2].rows)) == (None, 1)


def test_the_bounds_count_anew_in_every_transaction() -> None:
    messages: list[Message] = [BEGIN, Insert(1, ("a",)), Insert(1, ("b",)), COMMIT]
    bounds = Bounds(relation_rows=2, relation_bytes=2 * _ROW, open_bytes=2 * _ROW)
    transactions = run([relation(1), *messages, *messages], bounds)
    assert [transaction.changes[0].wide for transaction in transactions] == [None, None]


def test_a_relation_that_changes_within_a_transaction_comes_twice() -> None:
    wide = relation(1, "id", "more")
    messages: list[Message] = [
        relation(1),
        BEGIN,
        Insert(1, ("a",)),
        wide,
        Insert(1, ("b", "c")),
        Insert(1, ("d", "e")),
        COMMIT,
    ]
    (transaction,) = run(messages)
    assert [len(change.rows) for change in transaction.changes] == [1, 2]
    assert transaction.changes[1].relation is wide


def test_a_relation_that_is_described_again_unchanged_comes_once() -> None:
    messages: list[Message] = [relation(1), BEGIN, Insert(1, ("a",)), relation(1), Insert(1, ("b",)), COMMIT]
    assert [len(change.rows) for change in run(messages)[0].changes] == [2]


@pytest.mark.parametrize(
    "messages",
    [
        [Insert(1, ("a",))],
        [relation(1), Insert(1, ("a",))],
        [BEGIN, Insert(1, ("a",))],
        [relation(1), BEGIN, Insert(1, ("a", "b"))],
        [relation(1), BEGIN, Update(1, ("a", "b"), False, ("a",))],
        [relation(1), BEGIN, Delete(1, (), True)],
        [BEGIN, Truncate((1,), False, False)],
        [BEGIN, BEGIN],
        [COMMIT],
        [BEGIN, Commit(Lsn(88), Lsn(120), 6)],
        [StreamStart(1, False)],
        [StreamStart(1, True), StreamStart(2, True)],
        [StreamStart(1, True), StreamStop(), StreamStart(1, True)],
        [StreamCommit(1, Lsn(80), Lsn(120), 6)],
        [StreamStart(1, True), StreamCommit(1, Lsn(80), Lsn(120), 6)],
        [StreamStart(1, True), StreamAbort(1, 1)],
        [StreamStart(1, True), StreamAbort(1, 2)],
        [BEGIN, StreamStart(1, True)],
        [StreamStart(1, True), streamed_relation(1, 1), StreamStop(), BEGIN, Insert(1, ("a",))],
    ],
)
def test_what_cannot_come_there_is_an_error(messages: list[Message]) -> None:
    with pytest.raises(PgoutputError):
        run(messages)


@pytest.mark.parametrize("version", [15, 18])
def test_a_recorded_session_makes_its_transactions(version: int) -> None:
    decoder = Decoder()
    session = dict(recorded_sessions())[f"postgres-{version} plain"]
    transactions = run([decoder.decode(data) for data in session])
    told = [(change.relation.name, change.wide or len(change.rows)) for t in transactions for change in t.changes]
    assert told == [
        ("sample", 2),
        ("sample", 1),
        ("sample", 1),
        ("sample", 1),
        ("sample_full", 2),
        ("sample_full", 1),
        ("sample_full", 1),
        ("sample_index", 1),
        ("sample_index", 1),
        ("sample", "truncate"),
        ("sample_full", "truncate"),
        ("sample", 1),
    ]
    assert all(earlier.end_lsn <= later.commit_lsn for earlier, later in pairwise(transactions))


# -- transactions that are sent while they are in progress


def piece(xid: int, *rows: Message, first: bool = True) -> list[Message]:
    return [StreamStart(xid, first), *rows, StreamStop()]


def committed(xid: int, at: int) -> StreamCommit:
    return StreamCommit(xid, Lsn(at), Lsn(at + 8), 6)


def told(transaction: Transaction) -> list[tuple[int, object]]:
    """What it says of each relation: what happened to it as a whole, or the first value of each row."""
    return [(change.relation.oid, change.wide or [row[1] for row in change.rows]) for change in transaction.changes]


def test_pieces_of_several_transactions_are_put_together_and_come_when_each_commits() -> None:
    a, b = Insert(1, ("a",), 5), Insert(1, ("b",), 6)
    one, two = run(
        [
            *piece(5, streamed_relation(5, 1), a),
            *piece(6, streamed_relation(6, 1), b),
            *piece(5, a, first=False),
            committed(6, 80),
            BEGIN,  # one that was small, in between
            COMMIT,
            committed(5, 160),
        ]
    )[::2]
    assert (one.xid, one.commit_lsn, one.end_lsn, told(one)) == (6, 80, 88, [(1, [("b",)])])
    assert (two.xid, two.commit_lsn, two.end_lsn, told(two)) == (5, 160, 168, [(1, [("a",), ("a",)])])


def test_of_parts_that_were_rolled_back_nothing_is_told() -> None:
    rows = [Insert(1, ("kept",), 5), Insert(1, ("undone",), 7), Insert(2, ("undone",), 7), Insert(1, ("last",), 8)]
    described = [streamed_relation(5, 1), streamed_relation(7, 2)]
    (transaction,) = run([*piece(5, *described, *rows), StreamAbort(5, 7), StreamAbort(5, 99), committed(5, 80)])
    assert told(transaction) == [(1, [("kept",), ("last",)])]


@pytest.mark.parametrize("subtransaction", [9, 11])
def test_a_transaction_of_which_nothing_was_sent_may_be_rolled_back_or_a_part_of_it(subtransaction: int) -> None:
    rows = piece(5, streamed_relation(5, 1), Insert(1, ("kept",), 5))
    (transaction,) = run([*rows, StreamAbort(9, subtransaction), committed(5, 80)])
    assert told(transaction) == [(1, [("kept",)])]


def test_a_transaction_that_was_rolled_back_is_gone_with_its_descriptions() -> None:
    messages = [*piece(5, streamed_relation(5, 1), Insert(1, ("a",), 5)), StreamAbort(5, 5)]
    assert run(messages) == []
    with pytest.raises(PgoutputError, match="has not been described"):
        run([*messages, BEGIN, Insert(1, ("a",))])
    assert len(run([*messages, *piece(5, streamed_relation(5, 1)), committed(5, 80)])) == 1


def test_a_description_holds_for_others_once_its_transaction_has_committed_unless_there_is_a_newer_one() -> None:
    older, newer = streamed_relation(5, 1), relation(1, "id", "more")
    first, *_ = run([*piece(5, older), committed(5, 80), BEGIN, Insert(1, ("a",)), COMMIT])[1:]
    assert told(first) == [(1, [("a",)])]
    insert = Insert(1, ("a", "b"))
    *_, last = run([*piece(5, older), newer, BEGIN, insert, COMMIT, committed(5, 160), BEGIN, insert, COMMIT])
    assert told(last) == [(1, [("a", "b")])]


def test_the_rows_of_a_relation_that_has_changed_as_a_whole_need_not_be_fed() -> None:
    assembler = Assembler(Bounds(relation_rows=1))
    for message in (relation(1), BEGIN, Insert(1, ("a",))):
        assembler.feed(message, 10)
    assert assembler.wide == frozenset()
    assembler.feed(Insert(1, ("b",)), 10)
    assert assembler.wide == {1}
    assembler.feed(COMMIT, 10)
    assert assembler.wide == frozenset()


def test_what_all_that_are_open_take_together_is_bounded_by_the_largest_of_them() -> None:
    small, large = Insert(1, ("s",), 5), Insert(2, ("l",), 6)
    bounds = Bounds(open_bytes=4 * _ROW)
    transactions = run(
        [
            *piece(5, streamed_relation(5, 1), small),
            *piece(6, streamed_relation(6, 2), large, large, large),
            *piece(5, small, first=False),
            *piece(6, large, first=False),
            committed(5, 80),
            committed(6, 160),
        ],
        bounds,
    )
    assert [told(transaction) for transaction in transactions] == [[(1, [("s",), ("s",)])], [(2, "bulk")]]


@pytest.mark.parametrize("version", [15, 18])
def test_a_recorded_session_with_transactions_in_progress_makes_its_transactions(version: int) -> None:
    decoder = Decoder()
    session = dict(recorded_sessions())[f"postgres-{version} streamed"]
    transactions = run([decoder.decode(data) for data in session])
    assert len(transactions) == 2
    assert all(transaction.changes for transaction in transactions)
