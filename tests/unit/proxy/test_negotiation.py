"""The first bytes of a client's connection."""

import pytest

from services.proxy.arrival.negotiation import DirectTls, Negotiation
from services.shared.pgwire.errors import ForeignProtocol, ProtocolViolation, UnsupportedVersion
from services.shared.pgwire.startup import (
    VERSION_3_0,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    StartupPacket,
)

_SSL, _GSS = SSLRequest(), GSSENCRequest()
_STARTUP = StartupMessage(VERSION_3_0, (("user", "app"),))
_CANCEL = CancelRequest(7, b"1234")
_HELLO = b"\x16\x03\x01\x00\x05hello"


def _read(*sent: StartupPacket | bytes) -> Negotiation:
    negotiation = Negotiation()
    for one in sent:
        negotiation.feed(one if isinstance(one, bytes) else one.encode())
    return negotiation


@pytest.mark.parametrize("packet", [_SSL, _GSS, _STARTUP, _CANCEL])
def test_a_packet_is_given_out_once_it_is_complete(packet: StartupPacket) -> None:
    encoded = packet.encode()
    negotiation = Negotiation()
    for at in range(len(encoded)):
        assert negotiation.take() is None
        negotiation.feed(encoded[at : at + 1])

    assert negotiation.take() == packet
    assert negotiation.take() is None


def test_each_kind_of_encryption_may_be_asked_for_once() -> None:
    negotiation = _read(_GSS, _SSL, _STARTUP)
    assert [negotiation.take(), negotiation.take(), negotiation.take()] == [_GSS, _SSL, _STARTUP]


@pytest.mark.parametrize("request_", [_SSL, _GSS])
def test_the_same_kind_of_encryption_is_not_asked_for_again(request_: StartupPacket) -> None:
    negotiation = _read(request_, request_)
    negotiation.take()

    with pytest.raises(UnsupportedVersion, match=r"1234\.56\d\d"):
        negotiation.take()


@pytest.mark.parametrize("request_", [_SSL, _GSS])
def test_no_encryption_is_asked_for_inside_tls(request_: StartupPacket) -> None:
    negotiation = _read(_SSL)
    negotiation.take()
    assert negotiation.begin_tls() == b""
    negotiation.feed(request_.encode())

    with pytest.raises(UnsupportedVersion):
        negotiation.take()


def test_what_comes_in_the_clear_behind_a_request_for_tls_is_refused() -> None:
    negotiation = _read(_SSL.encode() + _STARTUP.encode())
    assert negotiation.take() == _SSL

    with pytest.raises(ProtocolViolation, match="unencrypted data after SSL request"):
        negotiation.begin_tls()


def test_where_tls_is_refused_the_client_may_have_gone_on_already() -> None:
    negotiation = _read(_SSL.encode() + _STARTUP.encode())
    assert [negotiation.take(), negotiation.take()] == [_SSL, _STARTUP]


def test_a_tls_handshake_in_the_first_byte_is_direct_tls() -> None:
    negotiation = _read(_HELLO[:1], _HELLO[1:])
    assert negotiation.take() == DirectTls()
    assert negotiation.begin_tls() == _HELLO

    negotiation.feed(_STARTUP.encode() + b"more")
    assert negotiation.take() == _STARTUP
    assert negotiation.release() == b"more"


def test_a_tls_handshake_that_is_refused_is_no_start_up_packet() -> None:
    negotiation = _read(_HELLO)
    assert negotiation.take() == DirectTls()
    negotiation.refuse_direct_tls()

    with pytest.raises(ForeignProtocol, match="TLS"):
        negotiation.take()


def test_a_tls_handshake_later_than_in_the_first_byte_is_no_start_up_packet() -> None:
    negotiation = _read(_GSS, _HELLO)
    negotiation.take()

    with pytest.raises(ForeignProtocol):
        negotiation.take()


def test_tls_inside_tls_is_no_start_up_packet() -> None:
    negotiation = _read(_HELLO)
    negotiation.take()
    negotiation.begin_tls()
    negotiation.feed(_HELLO)

    with pytest.raises(ForeignProtocol):
        negotiation.take()
