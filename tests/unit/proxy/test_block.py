"""How a held-back block is brought to Postgres."""

from collections.abc import Sequence

import pytest

from services.proxy.session.block import HeldBlock, failed_block, followed, prelude, uses_unnamed_portal
from services.proxy.session.follow_up import FollowUp
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.framing import FRONTEND_LIMITS, MessageBuffer
from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    FrontendMessage,
    Parse,
    Query,
    Sync,
    Target,
    decode_frontend,
)

WRITE: Sequence[FrontendMessage] = [Query(b"DELETE FROM users")]
FETCH: Sequence[FrontendMessage] = [Execute(b"", 5), Sync()]


class RowsTwoToThree:
    text = b"SELECT portal"

    def rebuild_portal(self) -> tuple[bytes, int]:
        return Parse(b"own", b"SELECT portal").encode() + Close(Target.STATEMENT, b"own").encode(), 1


def messages(raw: bytes) -> list[FrontendMessage]:
    buffer = MessageBuffer(FRONTEND_LIMITS)
    buffer.feed(raw)
    return [decode_frontend(message.raw, 0, len(message.raw)) for message in buffer]


def texts(raw: bytes) -> list[bytes]:
    return [message.sql for message in messages(raw) if isinstance(message, Parse)]


def test_the_begin_goes_first_without_a_sync_so_that_nothing_runs_if_it_fails() -> None:
    first = prelude(HeldBlock(b"BEGIN READ ONLY"), WRITE)
    assert texts(first.raw) == [b"BEGIN READ ONLY"]
    found = messages(first.raw)
    assert not any(isinstance(message, Sync | Query) for message in found)
    assert sum(isinstance(message, Close) for message in found) == first.closes
    assert isinstance(found[-1], Close)


def test_the_clients_unnamed_statement_and_portal_are_left_alone() -> None:
    for message in messages(prelude(HeldBlock(b"BEGIN", read=True), WRITE).raw):
        match message:
            case Parse(statement=name) | Execute(portal=name) | Close(name=name):
                assert name
            case Bind(portal, statement):
                assert portal
                assert statement


def test_a_block_with_a_read_has_taken_a_snapshot() -> None:
    block = HeldBlock(b"BEGIN")
    block.note_read(None)
    first = prelude(block, WRITE)
    assert texts(first.raw) == [b"BEGIN", b"SELECT"]
    assert sum(isinstance(message, Close) for message in messages(first.raw)) == first.closes


def test_the_unnamed_portal_is_made_again_for_who_uses_it() -> None:
    block = HeldBlock(b"BEGIN")
    block.note_read(RowsTwoToThree())
    first = prelude(block, FETCH)
    assert texts(first.raw) == [b"BEGIN", b"SELECT", b"SELECT portal"]
    assert sum(isinstance(message, Close) for message in messages(first.raw)) == first.closes
    assert texts(prelude(block, WRITE).raw) == [b"BEGIN", b"SELECT"]


@pytest.mark.parametrize(
    ("turn", "uses"),
    [
        ([Execute(b""), Sync()], True),
        ([Parse(b"", b"x"), Describe(Target.PORTAL, b""), Sync()], True),
        ([Close(Target.PORTAL, b""), Sync()], True),
        ([Bind(b"", b"", (), (), ()), Execute(b""), Sync()], False),
        ([Execute(b"c"), Sync()], False),
        ([Close(Target.STATEMENT, b""), Sync()], False),
        ([Query(b"x")], False),
        ([], False),
    ],
)
def test_who_uses_what_the_unnamed_portal_held(turn: Sequence[FrontendMessage], uses: bool) -> None:
    assert uses_unnamed_portal(turn) == uses


def test_a_failed_block_is_made_to_fail_in_a_turn_of_its_own() -> None:
    raw = failed_block(HeldBlock(b"BEGIN", failed=True))
    assert texts(raw)[0] == b"BEGIN"
    assert isinstance(messages(raw)[-1], Sync)
    assert isinstance(messages(raw)[-2], Parse)  # what fails is never made, so nothing is left behind


def test_the_status_of_a_block() -> None:
    assert HeldBlock(b"BEGIN").status is TransactionStatus.IN_BLOCK
    assert HeldBlock(b"BEGIN", failed=True).status is TransactionStatus.FAILED


def test_what_a_ready_made_reply_does_to_a_block() -> None:
    portal = RowsTwoToThree()
    block = followed(None, FollowUp(begins=b"BEGIN"))
    assert block == HeldBlock(b"BEGIN")
    assert followed(block, FollowUp(reads=True, portal=portal)) == HeldBlock(b"BEGIN", read=True, portal=portal)
    assert followed(block, FollowUp(reads=True)) == HeldBlock(b"BEGIN", read=True)
    assert followed(block, FollowUp(sets_unnamed=True)) is block
    assert followed(block, FollowUp(ends=True)) is None
    assert followed(block, FollowUp(begins=b"begin", ends=True, reads=True)) == HeldBlock(b"begin", read=True)
