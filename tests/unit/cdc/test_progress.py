"""What Postgres may forget."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cdc.progress import ProgressError, ProgressLedger, Ticket
from services.shared.lsn import Lsn


def test_nothing_is_confirmed_before_the_first_watermark_of_this_incarnation() -> None:
    ledger = ProgressLedger(Lsn(80))
    ledger.acknowledge(ledger.append())
    assert ledger.confirmed == 80


def test_a_watermark_is_confirmed_once_every_partition_has_it() -> None:
    ledger = ProgressLedger(Lsn(80))
    first, second = ledger.append(), ledger.append()
    ledger.watermark(Lsn(160))
    ledger.acknowledge(first)
    assert ledger.confirmed == 80
    ledger.acknowledge(second)
    assert ledger.confirmed == 160


def test_a_watermark_waits_for_what_was_appended_before_it() -> None:
    ledger = ProgressLedger(Lsn(80))
    change, watermark = ledger.append(), ledger.append()
    ledger.watermark(Lsn(160))
    ledger.acknowledge(watermark)
    assert ledger.confirmed == 80
    ledger.acknowledge(change)
    assert ledger.confirmed == 160


def test_what_is_appended_after_a_watermark_does_not_hold_it_up() -> None:
    ledger = ProgressLedger(Lsn(80))
    watermark = ledger.append()
    ledger.watermark(Lsn(160))
    ledger.append()
    ledger.acknowledge(watermark)
    assert ledger.confirmed == 160
    assert ledger.unacknowledged == 1


def test_a_watermark_never_promises_less_than_an_earlier_one() -> None:
    ledger = ProgressLedger(Lsn(80))
    ledger.append()
    ledger.watermark(Lsn(160))
    with pytest.raises(ProgressError):
        ledger.watermark(Lsn(152))
    with pytest.raises(ProgressError):
        ProgressLedger(Lsn(80)).watermark(Lsn(72))


@pytest.mark.parametrize("ticket", [-1, 0, 2])
def test_an_acknowledgement_that_is_not_awaited_is_an_error(ticket: int) -> None:
    ledger = ProgressLedger(Lsn(0))
    ledger.append()
    ledger.append()
    ledger.acknowledge(Ticket(0))
    with pytest.raises(ProgressError):
        ledger.acknowledge(Ticket(ticket))


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_confirmed_is_the_newest_watermark_with_nothing_unacknowledged_before_it(
    is_watermark: list[bool], random: Random
) -> None:
    ledger = ProgressLedger(Lsn(0))
    settled_after: dict[int, int] = {}
    tickets = []
    for number, flag in enumerate(is_watermark):
        tickets.append(ledger.append())
        if flag:
            settled_after[number] = 8 * (number + 1)
            ledger.watermark(Lsn(settled_after[number]))
    acknowledged: set[int] = set()
    for ticket in random.sample(tickets, len(tickets)):
        ledger.acknowledge(ticket)
        acknowledged.add(ticket)
        complete = [lsn for number, lsn in settled_after.items() if acknowledged.issuperset(range(number + 1))]
        assert ledger.confirmed == max(complete, default=0)
        assert ledger.unacknowledged == len(tickets) - len(acknowledged)
