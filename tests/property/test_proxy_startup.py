"""Whatever a client begins with, reading it raises nothing but what is documented, and depends on no chunk's end."""

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.arrival.binding_guard import BindingGuard
from services.proxy.arrival.negotiation import DirectTls, Negotiation
from services.shared.pgwire.authentication import SaslInitialResponse
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.startup import (
    VERSION_3_0,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    StartupPacket,
)

_packets = st.sampled_from(
    [
        SSLRequest().encode(),
        GSSENCRequest().encode(),
        StartupMessage(VERSION_3_0, (("user", "app"),)).encode(),
        CancelRequest(1, b"1234").encode(),
    ]
)
_streams = st.lists(st.one_of(_packets, st.binary(max_size=30), st.just(b"\x16\x03\x01")), max_size=5).map(b"".join)
_chunk_bytes = st.integers(1, 50)


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _read(data: bytes, size: int) -> tuple[list[StartupPacket | DirectTls], str]:
    """Read as a proxy without TLS does; return what it saw, and how it ended."""
    negotiation = Negotiation()
    seen: list[StartupPacket | DirectTls] = []
    try:
        for chunk in _chunks(data, size):
            negotiation.feed(chunk)
            while (packet := negotiation.take()) is not None:
                seen.append(packet)
                if isinstance(packet, DirectTls):
                    negotiation.refuse_direct_tls()
                elif isinstance(packet, StartupMessage | CancelRequest):
                    return seen, "handed on"
    except ProtocolViolation as violation:
        return seen, violation.message
    return seen, "more is awaited"


@given(_streams, _chunk_bytes)
def test_the_start_of_a_connection_is_read_the_same_however_it_is_cut(data: bytes, size: int) -> None:
    assert _read(data, size) == _read(data, max(len(data), 1))


_answers = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda mechanism, data: SaslInitialResponse(mechanism, data).encode(),
        st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", ""]),
        st.one_of(st.none(), st.binary(max_size=20), st.just(b"y,,n=,r=x")),
    ),
)


@given(st.lists(_answers, min_size=1, max_size=3).map(b"".join), _chunk_bytes)
def test_a_login_is_kept_back_whole_or_passed_on_whole(data: bytes, size: int) -> None:
    whole, cut = BindingGuard(), BindingGuard()
    passed_whole = whole.feed(data)
    passed_cut = b""
    for chunk in _chunks(data, size):
        passed_cut += cut.feed(chunk)
        if cut.bound:
            break

    assert cut.bound == whole.bound
    assert passed_cut == passed_whole
    assert passed_whole in (b"", data)
