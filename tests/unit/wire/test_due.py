"""What Postgres has still to say, by what it was sent and what it has said."""

import pytest

from services.shared.pgwire.frontend import Bind, CopyDone, Execute, Flush, FunctionCall, Parse, Query, Sync, Terminate
from tests.wire.due import Due
from tests.wire.stream import Message, Raw

_RUN: tuple[Message, ...] = (Parse(b"", b"SELECT 1"), Bind(b"", b"", (), (), ()), Execute(b""))


@pytest.mark.parametrize(
    ("sent", "heard", "settled"),
    [
        ((), "", True),
        ((Query(b"SELECT 1"),), "TDC", False),
        ((Query(b"SELECT 1"),), "TDCNZ", True),
        (_RUN, "", True),  # may wait in Postgres's buffer
        ((*_RUN, Flush()), "12D", False),
        ((*_RUN, Flush()), "12DC", True),
        ((*_RUN, Flush()), "1E", True),  # the rest is skipped
        ((*_RUN, Query(b"SELECT 2"), Sync()), "1E", False),
        ((*_RUN, Query(b"SELECT 2"), Sync()), "1EZ", True),
        ((*_RUN, Query(b"SELECT 2"), Sync()), "12DCTDCZ", False),
        ((*_RUN, Query(b"SELECT 2"), Sync()), "12DCTDCZZ", True),
        ((FunctionCall(1397, (), (b"1",), 0),), "V", False),
        ((FunctionCall(1397, (), (b"1",), 0),), "EZ", True),
        ((Query(b"COPY t FROM STDIN"),), "G", True),  # it is the client's turn
        ((Query(b"COPY t FROM STDIN"), Sync(), CopyDone()), "GC", False),
        ((Query(b"COPY t FROM STDIN"), Sync(), CopyDone()), "GCZ", True),
        ((Terminate(),), "", False),  # until the connection ends
        ((Raw(b"y\0\0\0\4"),), "E", False),
    ],
)
def test_what_is_due(sent: tuple[Message, ...], heard: str, settled: bool) -> None:
    due = Due()
    for message in sent:
        due.send(message.encode())
    for kind in heard:
        due.hear(kind)
    assert due.settled is settled
    due.ended = True
    assert due.settled
