"""Fuzz targets of the wire codec. Each takes any bytes and returns whether something was accepted.

The invariant: only `ProtocolViolation` is raised; what is accepted encodes to the same bytes; the
messages are the same whatever the chunks. A broken invariant is an exception of any other kind.

`test_fuzz.py` runs the targets over the committed corpus and over mutations of it. With atheris installed,

    python -m tests.fuzz.fuzz_pgwire frontend tests/fuzz/corpus/pgwire/frontend

goes on searching for as long as it is left alone.
"""

from collections.abc import Callable
from typing import Protocol

from services.shared.pgwire.authentication import SaslInitialResponse, read_password
from services.shared.pgwire.backend import decode_backend
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import BACKEND_LIMITS, FRONTEND_LIMITS, MessageBuffer, MessageLimits
from services.shared.pgwire.frontend import Bind, PasswordMessage, decode_frontend, parameter_format
from services.shared.pgwire.startup import StartupBuffer, StartupMessage, negotiate_protocol_version
from tests.fuzz.inputs import Target, chunks_of, expect, search


class _Encodable(Protocol):
    def encode(self) -> bytes: ...


def startup(data: bytes) -> bool:
    """The packets at the start of a connection, in chunks and at once."""
    whole, parted = _startup_packets([data]), _startup_packets(chunks_of(data))
    expect(whole == parted, "start-up packets depend on the chunks")
    return bool(whole[0])


def _startup_packets(chunks: list[bytes]) -> tuple[list[object], bytes | None]:
    """Return the packets and what follows them; None when the rest was refused."""
    buffer = StartupBuffer()
    packets: list[object] = []
    consumed = 0
    try:
        for chunk in chunks:
            buffer.feed(chunk)
            while (packet := buffer.take()) is not None:
                raw = packet.encode()
                expect(b"".join(chunks)[consumed : consumed + len(raw)] == raw, "packet does not encode to its bytes")
                consumed += len(raw)
                packets.append(packet)
                if isinstance(packet, StartupMessage):
                    _look_at(packet)
    except ProtocolViolation:
        return packets, None
    return packets, buffer.release()


def _look_at(packet: StartupMessage) -> None:
    answer = negotiate_protocol_version(packet)
    if answer is not None:
        expect(decode_backend(answer.encode()) == answer, "negotiation is not read back")
    expect(packet.is_replication in (True, False) and packet.database is not None, "no properties")


def frontend(data: bytes) -> bool:
    """A client's stream."""
    return _stream(data, decode_frontend, FRONTEND_LIMITS)


def backend(data: bytes) -> bool:
    """A server's stream."""
    return _stream(data, decode_backend, BACKEND_LIMITS)


def _stream(data: bytes, decode: Callable[[bytes], _Encodable], limits: MessageLimits) -> bool:
    raws = _messages([data], limits)
    expect(raws == _messages(chunks_of(data), limits), "messages depend on the chunks")
    expect(data.startswith(b"".join(raws)), "messages are not the stream")
    return bool([raw for raw in raws if _accepted(raw, decode)])


def _messages(chunks: list[bytes], limits: MessageLimits) -> list[bytes]:
    """Return the messages in front of the first bad header."""
    buffer = MessageBuffer(limits)
    raws: list[bytes] = []
    try:
        for chunk in chunks:
            buffer.feed(chunk)
            raws.extend(message.raw for message in iter(buffer))
    except ProtocolViolation:
        pass
    return raws


def _accepted(raw: bytes, decode: Callable[[bytes], _Encodable]) -> bool:
    try:
        message = decode(raw)
    except ProtocolViolation:
        return False
    expect(message.encode() == raw, "message does not encode to its bytes")
    expect(bool(repr(message)), "no repr")
    if isinstance(message, Bind):
        expect(all(isinstance(parameter_format(message, at), int) for at in range(len(message.values))), "no format")
    if isinstance(message, PasswordMessage):
        _read_secret(message.data)
    return True


def _read_secret(data: bytes) -> None:
    for read in (read_password, SaslInitialResponse.read):
        try:
            read(data)
        except ProtocolViolation:
            continue


TARGETS: dict[str, Target] = {"startup": startup, "frontend": frontend, "backend": backend}

if __name__ == "__main__":
    search(TARGETS)
