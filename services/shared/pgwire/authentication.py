"""The authentication exchange: what the server asks (`R` messages) and what the client answers (`p` messages).

A `p` message does not say what it is: a password, the first SASL response or a later one. The exchange knows, and
calls `read_password` or `SaslInitialResponse.read`; a later SASL response is the message's data as it stands. No
`repr` shows salts, tokens or passwords.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from services.shared.pgwire.codes import BackendCode, FrontendCode
from services.shared.pgwire.errors import ProtocolViolation, Unencodable
from services.shared.pgwire.fields import FieldReader, pack_counted, pack_cstring, pack_int32, pack_text
from services.shared.pgwire.framing import frame

MD5_SALT_BYTES: Final = 4


class AuthenticationCode(IntEnum):
    """The 32-bit code in an `R` message."""

    OK = 0
    KERBEROS_V5 = 2
    CLEARTEXT_PASSWORD = 3
    MD5_PASSWORD = 5
    GSS = 7
    GSS_CONTINUE = 8
    SSPI = 9
    SASL = 10
    SASL_CONTINUE = 11
    SASL_FINAL = 12


def _request(code: int, body: bytes = b"") -> bytes:
    return frame(BackendCode.AUTHENTICATION, pack_int32(code) + body)


@dataclass(frozen=True, slots=True)
class AuthenticationOk:
    """The client is who it says."""

    def encode(self) -> bytes:
        """Write the message."""
        return _request(AuthenticationCode.OK)


@dataclass(frozen=True, slots=True)
class AuthenticationCleartextPassword:
    """The server wants the password itself."""

    def encode(self) -> bytes:
        """Write the message."""
        return _request(AuthenticationCode.CLEARTEXT_PASSWORD)


@dataclass(frozen=True, slots=True)
class AuthenticationMd5Password:
    """The server wants the password hashed with this salt of four bytes."""

    salt: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        if len(self.salt) != MD5_SALT_BYTES:
            raise Unencodable(f"salt of {len(self.salt)} bytes")
        return _request(AuthenticationCode.MD5_PASSWORD, self.salt)


@dataclass(frozen=True, slots=True)
class AuthenticationSasl:
    """The server offers SASL mechanisms, the one it likes best first."""

    mechanisms: tuple[str, ...]

    def encode(self) -> bytes:
        """Write the message."""
        if "" in self.mechanisms:
            raise Unencodable("empty SASL mechanism name")
        return _request(AuthenticationCode.SASL, b"".join(map(pack_text, self.mechanisms)) + b"\0")


@dataclass(frozen=True, slots=True)
class AuthenticationSaslContinue:
    """The server's challenge."""

    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return _request(AuthenticationCode.SASL_CONTINUE, self.data)


@dataclass(frozen=True, slots=True)
class AuthenticationSaslFinal:
    """The server's own proof; AuthenticationOk follows."""

    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return _request(AuthenticationCode.SASL_FINAL, self.data)


@dataclass(frozen=True, slots=True)
class AuthenticationOther:
    """Kerberos, GSS, SSPI and whatever comes after them: relayed, not understood."""

    code: int
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return _request(self.code, self.data)


AuthenticationRequest = (
    AuthenticationOk
    | AuthenticationCleartextPassword
    | AuthenticationMd5Password
    | AuthenticationSasl
    | AuthenticationSaslContinue
    | AuthenticationSaslFinal
    | AuthenticationOther
)


def _sasl(reader: FieldReader) -> AuthenticationSasl:
    mechanisms: list[str] = []
    while mechanism := reader.text():
        mechanisms.append(mechanism)
    return AuthenticationSasl(tuple(mechanisms))


_REQUESTS: Final[Mapping[int, Callable[[FieldReader], AuthenticationRequest]]] = {
    AuthenticationCode.OK: lambda reader: AuthenticationOk(),
    AuthenticationCode.CLEARTEXT_PASSWORD: lambda reader: AuthenticationCleartextPassword(),
    AuthenticationCode.MD5_PASSWORD: lambda reader: AuthenticationMd5Password(reader.take(MD5_SALT_BYTES)),
    AuthenticationCode.SASL: _sasl,
    AuthenticationCode.SASL_CONTINUE: lambda reader: AuthenticationSaslContinue(reader.rest()),
    AuthenticationCode.SASL_FINAL: lambda reader: AuthenticationSaslFinal(reader.rest()),
}


def read_authentication_request(reader: FieldReader) -> AuthenticationRequest:
    """Read the body of an `R` message."""
    code = reader.int32()
    read = _REQUESTS.get(code)
    return AuthenticationOther(code, reader.rest()) if read is None else read(reader)


@dataclass(frozen=True, slots=True)
class SaslInitialResponse:
    """The client's choice of a mechanism and its first message, if the mechanism lets the client begin."""

    mechanism: str
    data: bytes | None = field(repr=False)

    def encode(self) -> bytes:
        """Write the message."""
        return frame(FrontendCode.PASSWORD, pack_text(self.mechanism) + pack_counted(self.data))

    @classmethod
    def read(cls, data: bytes) -> "SaslInitialResponse":
        """Read the data of the `p` message that answers AuthenticationSasl.

        Raises:
            ProtocolViolation: The data is not a SASLInitialResponse.
        """
        reader = FieldReader(data)
        response = cls(reader.text(), reader.counted())
        reader.expect_end()
        return response


def read_password(data: bytes) -> bytes:
    """Read the data of the `p` message that answers a request for a password.

    Raises:
        ProtocolViolation: The data is not one string.
    """
    reader = FieldReader(data)
    password = reader.cstring()
    if reader.remaining:
        raise ProtocolViolation("invalid password packet size")  # Postgres's words
    return password


def encode_password(password: bytes) -> bytes:
    """Write the answer to a request for a password."""
    return frame(FrontendCode.PASSWORD, pack_cstring(password))
