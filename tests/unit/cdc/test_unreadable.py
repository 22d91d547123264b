"""How often a place of the change stream is tried again that cannot be read."""

from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.unreadable import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, UnreadableStream


def test_one_place_is_tried_less_and_less_often() -> None:
    stream = UnreadableStream("tidegate_shop")
    waits = []
    for _ in range(20):
        stream.met(4711)
        waits.append(stream.backoff.next_delay())

    assert waits[0] <= FIRST_RETRY_SECONDS
    assert all(LONGEST_RETRY_SECONDS / 2 <= wait <= LONGEST_RETRY_SECONDS for wait in waits[10:])


def test_another_place_is_tried_soon() -> None:
    stream = UnreadableStream("tidegate_shop")
    for _ in range(20):
        stream.met(4711)
        stream.backoff.next_delay()
    stream.met(4712)

    assert stream.backoff.next_delay() <= FIRST_RETRY_SECONDS


def test_the_way_out_is_named() -> None:
    told = UnreadableStream("tidegate_shop").explain(PgoutputError("unknown kind of message: 0x62"))

    assert "unknown kind of message: 0x62" in told
    assert "pg_drop_replication_slot('tidegate_shop')" in told
