"""The first packets: what Postgres accepts, what it refuses, and what is not Postgres at all."""

import pytest

from services.shared.pgwire.backend import NegotiateProtocolVersion
from services.shared.pgwire.errors import Foreign, ForeignProtocol, ProtocolViolation, Unencodable, UnsupportedVersion
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.pgwire.startup import (
    MAX_STARTUP_PACKET_BYTES,
    VERSION_3_0,
    VERSION_3_2,
    CancelRequest,
    ProtocolVersion,
    SSLRequest,
    StartupBuffer,
    StartupMessage,
    decode_startup,
    foreign_protocol,
    negotiate_protocol_version,
    startup_length,
)


def _startup(*pairs: tuple[str, str], version: ProtocolVersion = VERSION_3_0) -> StartupMessage:
    return StartupMessage(version, pairs)


def _refused(data: bytes) -> ProtocolViolation:
    buffer = StartupBuffer()
    buffer.feed(data)
    with pytest.raises(ProtocolViolation) as caught:
        buffer.take()
    return caught.value


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", Foreign.TLS),
        (b"GET / HTTP/1.1\r\n", Foreign.HTTP),
        (b"POST /v1 HTTP/1.1\r\n", Foreign.HTTP),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign.HTTP),
        (b"PROXY TCP4 1.2.3.4", Foreign.PROXY_HEADER),
        (b"\r\n\r\n\0\r\nQUIT\n", Foreign.PROXY_HEADER),
        (b"SSH-2.0-OpenSSH", Foreign.SSH),
        (b"*1\r\n$4\r\nPING\r\n", Foreign.REDIS),
    ],
)
def test_other_protocols_are_named(data: bytes, kind: Foreign) -> None:
    for size in (4, 5, len(data)):
        error = _refused(data[:size])
        assert isinstance(error, ForeignProtocol)
        assert error.kind is kind
        assert str(kind) in error.message
    assert foreign_protocol(data) is kind


@pytest.mark.parametrize("length", [0, 4, 7, MAX_STARTUP_PACKET_BYTES + 5, 2**31, 2**32 - 1])
def test_lengths_that_postgres_refuses(length: int) -> None:
    error = _refused(length.to_bytes(4, "big"))
    assert error.message == f"invalid length of startup packet: {length}"
    assert error.sqlstate is Sqlstate.PROTOCOL_VIOLATION


def test_the_longest_packet_is_read_and_no_longer_one_is_written() -> None:
    room = MAX_STARTUP_PACKET_BYTES - len(b"\0\3\0\0user\0\0\0")
    longest = _startup(("user", "x" * room))
    raw = longest.encode()
    assert startup_length(raw) == len(raw) == 4 + MAX_STARTUP_PACKET_BYTES
    assert decode_startup(raw) == longest
    with pytest.raises(Unencodable):
        _startup(("user", "x" * (room + 1))).encode()


@pytest.mark.parametrize("version", [(2, 0), (4, 0), (1234, 1), (0, 0)])
def test_other_major_versions_are_refused_by_name(version: tuple[int, int]) -> None:
    error = _refused(_startup(("user", "ada"), version=ProtocolVersion(*version)).encode())
    assert isinstance(error, UnsupportedVersion)
    assert error.sqlstate is Sqlstate.FEATURE_NOT_SUPPORTED
    assert f"{version[0]}.{version[1]}" in error.message


@pytest.mark.parametrize("body", [b"", b"user\0ada\0", b"user\0ada", b"user\0ada\0\0x", b"user\0", b"\0\0"])
def test_a_layout_without_its_terminator_is_refused(body: bytes) -> None:
    _refused((8 + len(body)).to_bytes(4, "big") + VERSION_3_0.code.to_bytes(4, "big") + body)


@pytest.mark.parametrize("size", [0, 3, 257])
def test_cancel_keys_have_4_to_256_bytes(size: int) -> None:
    with pytest.raises(Unencodable):
        CancelRequest(1, bytes(size)).encode()
    _refused((12 + size).to_bytes(4, "big") + b"\x04\xd2\x16\x2e\0\0\0\1" + bytes(size))


def test_bytes_behind_a_request_for_encryption_are_seen() -> None:
    """They were sent in the clear; taking them for encrypted ones is the mistake of CVE-2021-23214."""
    buffer = StartupBuffer()
    buffer.feed(SSLRequest().encode() + b"stuffed")
    assert buffer.take() == SSLRequest()
    assert buffer.release() == b"stuffed"


def test_packets_follow_each_other() -> None:
    startup = _startup(("user", "ada"))
    buffer = StartupBuffer()
    buffer.feed(SSLRequest().encode())
    assert buffer.take() == SSLRequest()
    assert buffer.take() is None
    buffer.feed(startup.encode() + b"Q\0\0\0\5\0")
    assert buffer.take() == startup
    assert buffer.release() == b"Q\0\0\0\5\0"


def test_parameters() -> None:
    startup = _startup(("user", "ada"), ("options", "-c a=b"), ("user", "bob"))
    assert startup.parameters == {"user": "bob", "options": "-c a=b"}
    assert (startup.user, startup.database) == ("bob", "bob")
    assert _startup(("user", "ada"), ("database", "")).database == "ada"
    assert _startup(("user", "ada"), ("database", "post")).database == "post"
    assert _startup().user == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [("database", True), ("true", True), ("1", True), ("?", True), ("false", False), ("OFF", False), ("0", False)],
)
def test_replication(value: str, expected: bool) -> None:
    assert _startup(("user", "ada"), ("replication", value)).is_replication is expected
    assert not _startup(("user", "ada")).is_replication


@pytest.mark.parametrize(
    ("asked", "options", "newest", "answer"),
    [
        (VERSION_3_0, (), VERSION_3_0, None),
        (VERSION_3_2, (), VERSION_3_2, None),
        (VERSION_3_0, (), VERSION_3_2, None),
        (VERSION_3_2, (), VERSION_3_0, (0x00030000, ())),
        (ProtocolVersion(3, 9999), (), VERSION_3_2, (0x00030002, ())),
        (VERSION_3_0, ("_pq_.a", "_pq_.b"), VERSION_3_2, (0x00030000, ("_pq_.a", "_pq_.b"))),
        (VERSION_3_2, ("_pq_.a",), VERSION_3_0, (0x00030000, ("_pq_.a",))),
    ],
)
def test_negotiation(
    asked: ProtocolVersion,
    options: tuple[str, ...],
    newest: ProtocolVersion,
    answer: tuple[int, tuple[str, ...]] | None,
) -> None:
    startup = _startup(("user", "ada"), *((option, "on") for option in options), version=asked)
    expected = None if answer is None else NegotiateProtocolVersion(*answer)
    assert negotiate_protocol_version(startup, newest) == expected
