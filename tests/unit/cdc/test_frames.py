"""The frames of the streaming replication protocol."""

from struct import pack, unpack

import pytest

from services.cdc.replication.errors import FrameError
from services.cdc.replication.frames import Keepalive, XLogData, decode_frame, encode_status
from services.shared.lsn import Lsn

DATA = b"w" + pack("!QQq", 1, 2, 3) + b"payload"
KEEPALIVE = b"k" + pack("!QqB", 0x1_0000_0018, 3, 1)


def test_xlog_data_carries_a_message() -> None:
    assert decode_frame(DATA) == XLogData(b"payload")
    assert decode_frame(memoryview(DATA)) == XLogData(b"payload")


def test_a_keepalive_tells_how_far_the_server_is() -> None:
    assert decode_frame(KEEPALIVE) == Keepalive(Lsn(0x1_0000_0018), True)
    assert decode_frame(KEEPALIVE[:-1] + b"\0") == Keepalive(Lsn(0x1_0000_0018), False)


@pytest.mark.parametrize("length", range(25))
def test_a_header_cut_anywhere_is_an_error(length: int) -> None:
    with pytest.raises(FrameError):
        decode_frame(DATA[:length])


@pytest.mark.parametrize("data", [KEEPALIVE[:length] for length in range(18)] + [KEEPALIVE + b"\0", b"x"])
def test_other_frames_are_errors(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(data)


def test_a_status_confirms_and_does_not_claim_to_have_written_more() -> None:
    kind, written, flushed, applied, _, reply = unpack("!cQQQqB", encode_status(Lsn(0x1_0000_0018), True))
    assert (kind, written, flushed, applied, reply) == (b"r", 0x1_0000_0018, 0x1_0000_0018, 0x1_0000_0018, 1)
    assert encode_status(Lsn(8), False)[-1] == 0
