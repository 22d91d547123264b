"""What there is once for each client has no dictionary of its own: see `python -m benchmarks idle`."""

import pytest

from services.proxy.session.conversation import Conversation
from services.proxy.session.relay import BackendRelay
from services.proxy.session.session import Session
from services.proxy.session.state_keeper import StateKeeper
from services.proxy.session.turn_runner import TurnRunner
from services.proxy.session.turns import TurnAssembler
from services.proxy.upstream.connection import UpstreamConnection
from services.shared.pgwire.frontend import Query


@pytest.mark.parametrize("kind", [Session, TurnRunner, Conversation, StateKeeper, BackendRelay, UpstreamConnection])
def test_it_has_no_dictionary(kind: type) -> None:
    assert kind.__dictoffset__ == 0


def test_a_turn_that_was_handed_out_is_not_kept() -> None:
    assembler = TurnAssembler()
    turn = Query(b"x" * 100_000).encode()
    for chunk in (turn, turn[:50_000], turn[50_000:]):
        assembler.feed(chunk)
        assembler.next_part(within_turn=False, copying=False)

    kept = [value for value in vars(assembler).values() if isinstance(value, bytes)]
    assert sum(map(len, kept)) == 0
