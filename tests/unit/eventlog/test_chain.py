"""The table at the head of `chain.py`, row by row."""

import pytest

from services.shared.epoch import StreamEpoch
from services.shared.eventlog.chain import Chain, Link, LinkKind, Verdict
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import START, Position

EPOCH = str(StreamEpoch("71", 5, "00000002", "canary", "slot", "log"))
OTHER_CANARY = str(StreamEpoch("71", 5, "00000002", "another", "slot", "log"))
LOWER_TIMELINE = str(StreamEpoch("71", 5, "00000001", "canary", "slot", "log"))
HIGHER_TIMELINE = str(StreamEpoch("71", 5, "0000000A", "canary", "slot", "log"))
OTHER_SYSTEM = str(StreamEpoch("99", 5, "00000001", "canary", "slot", "log"))

SETTLED = Lsn(500)


def at(incarnation: int, k: int) -> Position:
    return Position(Lsn(incarnation), k)


def link(position: Position, kind: LinkKind = LinkKind.OTHER, epoch: str = EPOCH, resume_from: Lsn = NO_LSN) -> Link:
    return Link(epoch, position, kind, resume_from)


HERE = at(100, 7)

TABLE = [
    # at or below the chain's position
    ("the same record again", link(HERE), Verdict.DUPLICATE),
    ("an earlier record", link(at(100, 3)), Verdict.DUPLICATE),
    ("a late record of an older incarnation", link(at(90, 4000)), Verdict.DUPLICATE),
    (
        "an older incarnation's RESUME, however high its F",
        link(at(90, 0), LinkKind.RESUME, resume_from=Lsn(999)),
        Verdict.DUPLICATE,
    ),
    ("this incarnation's epoch record again", link(at(100, 0), LinkKind.EPOCH), Verdict.DUPLICATE),
    # the next one
    ("the next record", link(at(100, 8)), Verdict.NEXT),
    ("a RESUME within an incarnation", link(at(100, 8), LinkKind.RESUME), Verdict.GAP),
    ("an epoch record within an incarnation", link(at(100, 8), LinkKind.EPOCH), Verdict.GAP),
    # a newer incarnation
    ("RESUME below what is settled", link(at(200, 0), LinkKind.RESUME, resume_from=Lsn(499)), Verdict.RESUME),
    ("RESUME at what is settled", link(at(200, 0), LinkKind.RESUME, resume_from=Lsn(500)), Verdict.RESUME),
    ("RESUME above what is settled", link(at(200, 0), LinkKind.RESUME, resume_from=Lsn(501)), Verdict.GAP),
    ("a new incarnation without its RESUME", link(at(200, 1)), Verdict.GAP),
    ("a new incarnation at zero without RESUME", link(at(200, 0)), Verdict.GAP),
    ("RESUME that is not first", link(at(200, 1), LinkKind.RESUME), Verdict.GAP),
    ("an epoch record of the same epoch", link(at(200, 0), LinkKind.EPOCH), Verdict.NEW_EPOCH),
    ("an epoch record that is not first", link(at(200, 1), LinkKind.EPOCH), Verdict.GAP),
    # jumps
    ("one record is missing", link(at(100, 9)), Verdict.GAP),
    ("many records are missing", link(at(100, 1_000_000)), Verdict.GAP),
    # other epochs
    ("an epoch after a crash", link(at(300, 0), LinkKind.EPOCH, OTHER_CANARY), Verdict.NEW_EPOCH),
    ("an epoch whose incarnation is lower", link(at(5, 0), LinkKind.EPOCH, HIGHER_TIMELINE), Verdict.NEW_EPOCH),
    ("an epoch of another system", link(at(5, 0), LinkKind.EPOCH, OTHER_SYSTEM), Verdict.NEW_EPOCH),
    ("an epoch record of another epoch that is not first", link(at(5, 1), LinkKind.EPOCH, OTHER_CANARY), Verdict.GAP),
    ("a record of an unknown epoch", link(at(100, 8), epoch=OTHER_CANARY), Verdict.GAP),
    ("a RESUME of an unknown epoch", link(at(200, 0), LinkKind.RESUME, OTHER_CANARY), Verdict.GAP),
    ("a record of a later timeline", link(at(100, 8), epoch=HIGHER_TIMELINE), Verdict.GAP),
    ("a record of a lower timeline", link(at(900, 8), epoch=LOWER_TIMELINE), Verdict.IGNORED),
    ("an epoch of a lower timeline", link(at(900, 0), LinkKind.EPOCH, LOWER_TIMELINE), Verdict.IGNORED),
    ("a record of another system, whatever its timeline", link(at(100, 8), epoch=OTHER_SYSTEM), Verdict.GAP),
]


@pytest.mark.parametrize(("record", "verdict"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_table(record: Link, verdict: Verdict) -> None:
    chain = Chain(EPOCH, HERE)

    assert chain.accept(record, SETTLED) is verdict

    moves = verdict in {Verdict.NEXT, Verdict.RESUME, Verdict.NEW_EPOCH}
    assert (chain.epoch, chain.position) == ((record.epoch, record.position) if moves else (EPOCH, HERE))


def test_an_epoch_that_was_left_is_ignored_for_good() -> None:
    chain = Chain(EPOCH, HERE)
    chain.accept(link(at(300, 0), LinkKind.EPOCH, OTHER_CANARY), SETTLED)

    assert chain.accept(link(at(100, 8)), SETTLED) is Verdict.IGNORED
    assert chain.accept(link(at(400, 0), LinkKind.RESUME), SETTLED) is Verdict.IGNORED
    assert chain.accept(link(at(400, 0), LinkKind.EPOCH), SETTLED) is Verdict.IGNORED
    assert chain.accept(link(at(300, 1), epoch=OTHER_CANARY), SETTLED) is Verdict.NEXT


def test_positions_of_two_epochs_are_never_compared() -> None:
    chain = Chain(EPOCH, HERE)
    chain.accept(link(at(5, 0), LinkKind.EPOCH, HIGHER_TIMELINE), SETTLED)

    assert chain.accept(link(at(5, 1), epoch=HIGHER_TIMELINE), SETTLED) is Verdict.NEXT
    assert chain.position == at(5, 1)


def test_a_gap_stays_a_gap() -> None:
    chain = Chain(EPOCH, HERE)

    assert [chain.accept(link(at(100, k)), SETTLED) for k in (9, 10, 11)] == [Verdict.GAP] * 3


def test_settled_is_what_the_caller_gives_and_is_not_remembered() -> None:
    chain = Chain(EPOCH, HERE)
    resume = link(at(200, 0), LinkKind.RESUME, resume_from=Lsn(400))

    assert chain.accept(resume, Lsn(399)) is Verdict.GAP
    assert chain.accept(resume, Lsn(400)) is Verdict.RESUME


@pytest.mark.parametrize("kind", [LinkKind.OTHER, LinkKind.RESUME])
def test_before_the_first_epoch_only_an_epoch_record_is_taken(kind: LinkKind) -> None:
    chain = Chain("", START)

    assert chain.accept(link(at(0, 1), kind), NO_LSN) is Verdict.GAP
    assert chain.accept(link(at(100, 0), LinkKind.EPOCH), NO_LSN) is Verdict.NEW_EPOCH
