"""From messages to committed transactions."""

from collections.abc import Sequence
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
    StreamStart,
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


def test_truncate_says_all_there_is_to_say_of_a_relation() -> None:
    messages: list[Message] = [Insert(1, ("a",)), Truncate((1, 2), False, False), Insert(1, ("b",))]
    (transaction,) = run([relation(1), relation(2), BEGIN, *messages, COMMIT])
    assert [(change.wide, change.rows) for change in transaction.changes] == [("truncate", ()), ("truncate", ())]


def test_a_bulk_change_stays_a_truncate_once_it_was_one() -> None:
    messages: list[Message] = [Truncate((1,), False, False), *(Insert(1, ("a",)) for _ in range(9))]
    (transaction,) = run([relation(1), BEGIN, *messages, COMMIT], Bounds(relation_rows=2))
    assert transaction.changes[0].wide == "truncate"


@pytest.mark.parametrize("bounds", [Bounds(relation_rows=2), Bounds(relation_bytes=29), Bounds(transaction_bytes=39)])
def test_past_a_bound_a_relation_is_changed_in_bulk_and_the_others_are_not(bounds: Bounds) -> None:
    rows = [Insert(2, ("x",)), Insert(1, ("a",)), Insert(1, ("b",)), Insert(1, ("c",)), Insert(1, ("d",))]
    (transaction,) = run([relation(1), relation(2), BEGIN, *rows, COMMIT], bounds)
    changes = {change.relation.oid: change for change in transaction.changes}
    assert (changes[1].wide, changes[1].rows) == ("bulk", ())
    assert (changes[2].wide, len(changes[2].rows)) == (None, 1)


def test_the_bounds_count_anew_in_every_transaction() -> None:
    messages: list[Message] = [BEGIN, Insert(1, ("a",)), Insert(1, ("b",)), COMMIT]
    transactions = run([relation(1), *messages, *messages], Bounds(relation_rows=2, relation_bytes=20))
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
        [StreamStart(1, True)],
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
