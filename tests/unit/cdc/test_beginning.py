"""How an incarnation begins."""

from dataclasses import replace

import pytest

from schemas.encoding import Event, encode
from schemas.epoch import EpochStart
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.cdc.beginning import LogEnd, read_log_end, reason_for_new_epoch
from services.shared.epoch import StreamEpoch
from services.shared.lsn import Lsn

EPOCH = StreamEpoch("7001", 5, "00000001", "c0ffee", "tidegate_shop", "log")
OTHER = replace(EPOCH, canary="decaf")
END = LogEnd(EPOCH, Lsn(80), Lsn(16), Lsn(88))


def watermark(settled: str, epoch: StreamEpoch = EPOCH) -> Event:
    return Watermark(watermark=settled, settled=settled, cache="shop", epoch=str(epoch), incarnation="0/8", k=1)


def start(epoch: StreamEpoch = EPOCH) -> Event:
    return EpochStart(reason="it is new", cache="shop", epoch=str(epoch), incarnation="0/8", k=0)


def resume() -> Event:
    return Resume(resume_from="0/100", cache="shop", epoch=str(EPOCH), incarnation="0/8", k=0)


def end_of(*tails: list[Event]) -> LogEnd:
    return read_log_end([[encode(event) for event in tail] for tail in tails])


def test_the_end_of_the_log_is_its_epoch_and_its_last_settled_lsn() -> None:
    assert end_of([start(), watermark("0/80"), watermark("0/100"), resume()]) == LogEnd(
        EPOCH, Lsn(0x100), Lsn(8), Lsn(0x100)
    )


def test_over_several_partitions_the_least_is_settled() -> None:
    assert end_of([watermark("0/80")], [watermark("0/100")]) == LogEnd(EPOCH, Lsn(0x80), Lsn(8), Lsn(0x100))


@pytest.mark.parametrize("tail", [[start()], [watermark("0/900", OTHER), start()]])
def test_without_a_watermark_of_its_epoch_a_partition_settles_nothing(tail: list[Event]) -> None:
    assert end_of([watermark("0/80")], tail) == LogEnd(EPOCH, Lsn(0), Lsn(8), Lsn(0x80))


@pytest.mark.parametrize("tails", [[[]], [[watermark("0/80")], []], [[start()], [start(OTHER)]]])
def test_a_log_that_is_empty_or_torn_holds_nothing(tails: list[list[Event]]) -> None:
    assert end_of(*tails).epoch is None


def test_a_log_of_another_version_holds_nothing() -> None:
    assert read_log_end([[b'{"kind":"watermark","version":2}']]).epoch is None


def test_a_history_goes_on_if_everything_is_as_it_was() -> None:
    assert reason_for_new_epoch(END, EPOCH, Lsn(96), noted=END.incarnation, slot_is_new=False) == ""


@pytest.mark.parametrize("incarnation", [8, 88])
def test_lsns_that_have_gone_back_begin_another(incarnation: int) -> None:
    """H36: an older copy of the data directory has the same canary, timeline and slot."""
    assert "older copy" in reason_for_new_epoch(END, EPOCH, Lsn(incarnation), noted=END.incarnation, slot_is_new=False)


def test_a_database_that_has_heard_of_less_than_the_log_begins_another() -> None:
    """H36: more has been written to an older copy than was lost."""
    assert "older copy" in reason_for_new_epoch(END, EPOCH, Lsn(96), noted=Lsn(END.incarnation - 8), slot_is_new=False)
    assert reason_for_new_epoch(END, EPOCH, Lsn(96), noted=Lsn(END.incarnation + 8), slot_is_new=False) == ""


@pytest.mark.parametrize(
    ("now", "slot_is_new", "word"),
    [
        (replace(EPOCH, system="7002"), False, "database"),
        (replace(EPOCH, database=6), False, "database"),
        (replace(EPOCH, timeline="00000002"), False, "timeline"),
        (replace(EPOCH, canary=""), False, "crash"),
        (OTHER, False, "canary"),
        (replace(EPOCH, slot="tidegate_other"), False, "slot"),
        (replace(EPOCH, log="another"), False, "log"),
        (EPOCH, True, "slot"),
    ],
)
def test_anything_else_begins_another(now: StreamEpoch, slot_is_new: bool, word: str) -> None:
    assert word in reason_for_new_epoch(END, now, Lsn(96), noted=END.incarnation, slot_is_new=slot_is_new)


def test_an_empty_log_begins_a_history() -> None:
    assert "no stream epoch" in reason_for_new_epoch(
        LogEnd(None, Lsn(0)), EPOCH, Lsn(96), noted=END.incarnation, slot_is_new=False
    )
