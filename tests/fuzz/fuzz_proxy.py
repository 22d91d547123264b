"""Fuzz targets of what cuts the proxy's two byte streams. Each takes any bytes and returns whether all were accepted.

The invariant: only `ProtocolViolation` is raised; what is handed out and what is still held are the input, byte for
byte and in order; no more is held than the limit; the chunks change nothing that matters. A broken invariant is an
exception of any other kind.

`test_fuzz.py` runs the targets over the committed corpus and over mutations of it. With atheris installed,

    python -m tests.fuzz.fuzz_proxy turns tests/fuzz/corpus/proxy/turns

goes on searching for as long as it is left alone.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from unittest.mock import patch

from services.proxy.session import relay as relay_module
from services.proxy.session import turns as turns_module
from services.proxy.session.relay import BackendRelay
from services.proxy.session.turns import Part, PartKind, TurnAssembler
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import HEADER_BYTES, HEADER_UNPACK, LARGE_MESSAGE_LIMIT, MessageLimits
from tests.fuzz.inputs import Target, chunks_of, expect, search

SMALL_LIMIT = 100
"""Stands in for the limits of what is held, so that inputs of a few hundred bytes reach the paths behind them."""

_LIMITS = MessageLimits(dict.fromkeys(b"QPBFd", LARGE_MESSAGE_LIMIT), SMALL_LIMIT - 1)
"""A client's limits in the same scale: what Postgres holds to a few kilobytes is never too long to hold."""


def turns(data: bytes) -> bool:
    """A client's stream, cut into turns: at once, in chunks, and while turns and COPYs are under way upstream."""
    with patch.multiple(turns_module, MAX_TURN_BYTES=SMALL_LIMIT, FRONTEND_LIMITS=_LIMITS):
        whole, parted = _cut([data]), _cut(chunks_of(data))
        _cut(chunks_of(data), stages=data)
    expect(whole.refused == parted.refused, "whether a stream is refused depends on the chunks")
    expect(whole.refused or whole.turns == parted.turns, "turns depend on the chunks")
    return bool(whole.parts) and not whole.refused


@dataclass
class _Cut:
    """What became of a client's stream."""

    parts: list[Part] = field(default_factory=list)
    refused: bool = False

    @property
    def turns(self) -> list[tuple[int, int]]:
        """Where each turn that has ended lies: how a long one is handed out depends on the chunks, this does not."""
        ended: list[tuple[int, int]] = []
        at = begun = 0
        for part in self.parts:
            begun = at if part.first else begun
            at += len(part.raw)
            if part.last:
                ended.append((begun, at))
        return ended


def _cut(chunks: list[bytes], stages: bytes = b"") -> _Cut:
    """Cut chunks into parts as a session does.

    Args:
        chunks: What the client sends.
        stages: Two bits of a byte for each look at the stream: whether a turn is under way, and whether it copies.
    """
    cut, assembler = _Cut(), TurnAssembler()
    fed = b""
    handed_out = 0  # bytes
    looks = 0
    for chunk in chunks:
        assembler.feed(chunk)
        fed += chunk
        for answered in (False, True) if stages else (True,):  # all that was asked is answered at last
            while True:
                stage = 0 if answered else stages[looks % len(stages)]
                looks += 1
                try:
                    part = assembler.next_part(within_turn=bool(stage & 1), copying=stage & 3 == 3)
                except ProtocolViolation:
                    cut.refused = True
                    part = None
                if part is None:
                    break
                _look_at(part, within_turn=bool(stage & 1))
                cut.parts.append(part)
                expect(fed[handed_out : handed_out + len(part.raw)] == part.raw, "parts are not the stream")
                handed_out += len(part.raw)
            expect(handed_out + assembler.buffered == len(fed), "bytes are neither handed out nor held")
            if cut.refused:
                return cut
        expect(assembler.buffered < SMALL_LIMIT + HEADER_BYTES, "too much is held")
        if assembler.between_turns:
            expect(not assembler.buffered and not assembler.open, "something is held between turns")
    held = assembler._data[assembler._start :] + b"".join(assembler._late)
    expect(fed[handed_out:] == held, "what is held is not the rest of the stream")
    return cut


def _look_at(part: Part, *, within_turn: bool) -> None:
    expect(bool(part.raw), "an empty part")
    expect(not (within_turn and part.first), "a turn begins inside another")
    if part.kind is PartKind.COPY:
        expect(not (part.first or part.last), "COPY data begins or ends a turn")
    if part.messages:
        edges = [0, *(end for _, _, end in part.messages)]
        expect([(start, end) for _, start, end in part.messages] == list(pairwise(edges)), "messages do not adjoin")
        expect(edges[-1] == len(part.raw) if part.whole else edges[-1] > len(part.raw), "messages are not the part")
        expect(part.whole or len(part.messages) == 1, "what is too long to hold is not alone")
        for kind, start, end in part.messages:
            expect(end - start >= HEADER_BYTES, "a message shorter than its header")
            expect(HEADER_UNPACK(part.raw, start) == (kind, end - start - 1), "a message that is not its header's")


def relay(data: bytes) -> bool:
    """A server's stream, relayed at once and in chunks."""
    with patch.object(relay_module, "_MAX_HELD_BYTES", SMALL_LIMIT):
        whole, parted = _relayed([data]), _relayed(chunks_of(data))
    expect(whole.refused == parted.refused, "whether a stream is refused depends on the chunks")
    # A refused chunk is not passed on at all.
    expect(whole.refused or whole.shown == parted.shown, "what passed depends on the chunks")
    return bool(whole.shown) and not whole.refused


class _PassingSink:
    """Lets everything pass and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown = b""
        self.refused = False

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Keep a message."""
        expect(0 <= start < end <= len(data), "a message outside its chunk")
        expect(HEADER_UNPACK(data, start) == (kind, end - start - 1), "a message that is not its header's")
        self.shown += data[start:end]
        return True

    def bulk(self, _kind: int, data: bytes, start: int, end: int) -> bool:
        """Keep a stretch."""
        expect(0 <= start < end <= len(data), "a stretch outside its chunk")
        self.shown += data[start:end]
        return True


def _relayed(chunks: list[bytes]) -> _PassingSink:
    sink, backend = _PassingSink(), BackendRelay()
    fed, passed = b"", b""
    for chunk in chunks:
        fed += chunk
        try:
            passed += backend.feed(chunk, sink)
        except ProtocolViolation:
            sink.refused = True
            expect(fed.startswith(passed) and fed.startswith(sink.shown), "what passed is not the stream")
            return sink
        expect(passed + backend._held == fed, "bytes are neither passed on nor held")
        expect(passed == sink.shown, "something passed unseen")
        expect(len(backend._held) <= SMALL_LIMIT, "too much is held")
    return sink


TARGETS: dict[str, Target] = {"turns": turns, "relay": relay}

if __name__ == "__main__":
    search(TARGETS)
