"""What the message values say beyond their fields."""

import pytest

from services.shared.pgwire.authentication import SaslInitialResponse, encode_password, read_password
from services.shared.pgwire.backend import (
    READY_FOR_QUERY,
    AuthenticationMd5Password,
    AuthenticationSasl,
    BackendKeyData,
    CommandComplete,
    ErrorResponse,
    ReadyForQuery,
    decode_backend,
    error_response,
    notice_response,
)
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.errors import ProtocolViolation, Unencodable
from services.shared.pgwire.framing import frame
from services.shared.pgwire.frontend import Bind, PasswordMessage, decode_frontend, parameter_format, result_format
from services.shared.pgwire.sqlstate import Sqlstate


def test_error_response_carries_what_a_driver_reads() -> None:
    error = error_response("FATAL", Sqlstate.CANNOT_CONNECT_NOW, "not now", detail="why", hint="later")
    decoded = decode_backend(error.encode())
    assert isinstance(decoded, ErrorResponse)
    assert decoded == error
    assert (decoded.severity, decoded.sqlstate, decoded.message) == ("FATAL", "57P03", "not now")
    assert decoded.fields == {"S": "FATAL", "V": "FATAL", "C": "57P03", "M": "not now", "D": "why", "H": "later"}
    assert set(notice_response("WARNING", "01000", "hm").fields) == set("SVCM")


def test_severity_prefers_the_field_that_is_not_translated() -> None:
    assert ErrorResponse((("S", "FEHLER"), ("V", "ERROR"))).severity == "ERROR"
    assert ErrorResponse((("S", "FEHLER"),)).severity == "FEHLER"
    assert (ErrorResponse(()).severity, ErrorResponse(()).sqlstate, ErrorResponse(()).message) == ("", "", "")


@pytest.mark.parametrize("letter", ["", "ab", "\0", "€"])
def test_a_field_needs_a_letter(letter: str) -> None:
    with pytest.raises(Unencodable):
        ErrorResponse(((letter, "x"),)).encode()


@pytest.mark.parametrize(
    ("tag", "count"), [("SELECT 3", 3), ("INSERT 0 12", 12), ("BEGIN", None), ("", None), ("X ²", None), ("MERGE 0", 0)]
)
def test_row_count(tag: str, count: int | None) -> None:
    assert CommandComplete(tag).row_count == count


@pytest.mark.parametrize(
    ("formats", "expected"), [((), (0, 0)), ((1,), (1, 1)), ((0, 1), (0, 1))], ids=["none", "one for all", "each"]
)
def test_formats(formats: tuple[int, ...], expected: tuple[int, int]) -> None:
    bind = Bind(b"", b"", formats, (b"a", b"b"), formats)
    assert (parameter_format(bind, 0), parameter_format(bind, 1)) == expected
    assert (result_format(bind, 0), result_format(bind, 1)) == expected


def test_formats_that_do_not_match() -> None:
    bind = Bind(b"", b"", (0, 1), (b"a", b"b", b"c"), (0, 1))
    with pytest.raises(ProtocolViolation):
        result_format(bind, 2)
    with pytest.raises(ProtocolViolation, match="bind message has 2 parameter formats but 3 parameters"):
        decode_frontend(bind.encode())


@pytest.mark.parametrize("code", ["D", "C"])
def test_describe_and_close_know_two_targets(code: str) -> None:
    with pytest.raises(ProtocolViolation, match="subtype 88"):
        decode_frontend(frame(ord(code), b"X\0"))


def test_ready_for_query_knows_three_states() -> None:
    for status in TransactionStatus:
        assert decode_backend(READY_FOR_QUERY[status]) == ReadyForQuery(status)
    with pytest.raises(ProtocolViolation, match="transaction status"):
        decode_backend(b"Z\0\0\0\5X")


@pytest.mark.parametrize("count", [1, 2**31, 2**32 - 1])
def test_a_count_of_options_that_the_bytes_do_not_bear_out_is_refused(count: int) -> None:
    with pytest.raises(ProtocolViolation):
        decode_backend(frame(ord("v"), b"\0\3\0\0" + count.to_bytes(4, "big")))


@pytest.mark.parametrize("size", [0, 3, 257])
def test_cancel_keys_have_4_to_256_bytes(size: int) -> None:
    with pytest.raises(Unencodable):
        BackendKeyData(1, bytes(size)).encode()
    with pytest.raises(ProtocolViolation, match="cancel key"):
        decode_backend(frame(ord("K"), bytes(4 + size)))


@pytest.mark.parametrize("data", [None, b"", b"n,,n=,r=nonce"])
def test_sasl_initial_response(data: bytes | None) -> None:
    response = SaslInitialResponse("SCRAM-SHA-256", data)
    message = decode_frontend(response.encode())
    assert isinstance(message, PasswordMessage)
    assert SaslInitialResponse.read(message.data) == response
    with pytest.raises(ProtocolViolation):
        SaslInitialResponse.read(message.data + b"x")


def test_password() -> None:
    message = decode_frontend(encode_password(b"flood"))
    assert isinstance(message, PasswordMessage)
    assert read_password(message.data) == b"flood"
    for bad in (b"flood", b"flood\0x", b""):
        with pytest.raises(ProtocolViolation):
            read_password(bad)


def test_authentication_requests_that_could_not_be_read_back_are_not_written() -> None:
    with pytest.raises(Unencodable):
        AuthenticationMd5Password(b"abc").encode()
    with pytest.raises(Unencodable):
        AuthenticationSasl(("A", "", "B")).encode()
