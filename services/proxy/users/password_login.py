"""One login with a password, to learn what Postgres keeps of it, and that the password is right. Pure.

Every Postgres tells salt and iterations to who logs in, also one that shows its verifiers to nobody. With the password
they make the verifier. Postgres proves in the same exchange that it knows the password, so it is the right one.
"""

from enum import Enum, auto
from typing import Final

from services.proxy.scram.client import ClientExchange
from services.proxy.scram.errors import ServerUnproven
from services.proxy.scram.keys import Keys, keys_of_password
from services.proxy.scram.saslprep import prepare_password
from services.proxy.scram.verifier import MECHANISM, Challenge, Verifier
from services.shared.pgwire.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationMd5Password,
    AuthenticationOk,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
    SaslInitialResponse,
)
from services.shared.pgwire.backend import BackendMessage, ReadyForQuery, decode_backend
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import MessageBuffer, backend_limits, frame
from services.shared.pgwire.notice import ErrorResponse
from services.shared.pgwire.sqlstate import Sqlstate

_MAX_MESSAGE_BYTES: Final = 65_535  # nothing in a login is longer

_SET_ANEW: Final = "SET password_encryption = 'scram-sha-256'; ALTER ROLE … PASSWORD …"
_HBA: Final = "scram-sha-256 in pg_hba.conf"


class LoginFailed(Exception):
    """There is no verifier to be had this way. The message says why, and what to do."""


class _Stage(Enum):
    REQUEST = auto()
    CHALLENGE = auto()
    SIGNATURE = auto()
    ADMISSION = auto()
    SETTLING = auto()
    READY = auto()


class PasswordLogin:
    """What is said to Postgres after the start-up packet, until the session is ready."""

    def __init__(self, user: str, password: bytes, end_point: bytes | None) -> None:
        """Prepare.

        Args:
            user: The role.
            password: Its password, as it was typed in.
            end_point: Hash of Postgres's certificate under TLS; see `binding.end_point`.
        """
        self._user = user
        self._password = password
        self._end_point = end_point
        self._messages = MessageBuffer(backend_limits(_MAX_MESSAGE_BYTES))
        self._exchange: ClientExchange | None = None
        self._keys: Keys | None = None
        self._challenge: Challenge | None = None
        self._stage = _Stage.REQUEST

    @property
    def verifier(self) -> Verifier | None:
        """The verifier, once Postgres has let the user in."""
        if self._stage is not _Stage.READY or self._keys is None or self._challenge is None:
            return None
        return Verifier.of_keys(self._keys, self._challenge)

    def receive(self, data: bytes) -> bytes:
        """Take bytes from Postgres; return what it is answered, which may be nothing.

        Raises:
            LoginFailed: It does not let the user in, or not by SCRAM.
        """
        self._messages.feed(data)
        try:
            return b"".join([self._answer(decode_backend(message.raw)) for message in self._messages])
        except ProtocolViolation as violation:
            raise LoginFailed(f"what answers does not speak Postgres's protocol: {violation.message}") from violation
        except ServerUnproven as error:
            raise LoginFailed(str(error)) from error

    def _answer(self, message: BackendMessage) -> bytes:
        match self._stage, message:
            case _, ErrorResponse():
                raise LoginFailed(_explain_error(message))
            case _Stage.REQUEST, AuthenticationSasl():
                self._exchange = ClientExchange(message.mechanisms, self._end_point)
                self._stage = _Stage.CHALLENGE
                return SaslInitialResponse(self._exchange.mechanism, self._exchange.first()).encode()
            case _Stage.CHALLENGE, AuthenticationSaslContinue() if self._exchange is not None:
                self._challenge = self._exchange.read_challenge(message.data)
                self._keys = keys_of_password(prepare_password(self._password), *self._challenge)
                self._stage = _Stage.SIGNATURE
                return frame(FrontendCode.PASSWORD, self._exchange.prove(self._keys))
            case _Stage.SIGNATURE, AuthenticationSaslFinal() if self._exchange is not None:
                self._exchange.check(message.data)
                self._stage = _Stage.ADMISSION
            case _Stage.ADMISSION, AuthenticationOk():
                self._stage = _Stage.SETTLING
            case _Stage.SETTLING, ReadyForQuery():
                self._stage = _Stage.READY
            case _:
                self._pass_over(message)
        return b""

    def _pass_over(self, message: BackendMessage) -> None:
        """Let go by what is no part of the exchange, and nothing that should be."""
        if type(message).__name__.startswith("Authentication"):
            if self._stage is _Stage.REQUEST:
                raise LoginFailed(self._explain_request(message))
            raise LoginFailed(f"the server sent {type(message).__name__} out of turn")

    def _explain_request(self, message: BackendMessage) -> str:
        if isinstance(message, AuthenticationOk):
            return f"Postgres lets {self._user} in without asking for a password; there has to be {_HBA} for this host"
        if isinstance(message, AuthenticationMd5Password):
            return (
                f"Postgres asks for an MD5 hash: the password of {self._user} is stored as one. "
                f"Set it anew: {_SET_ANEW}; then let it say {_HBA}"
            )
        if isinstance(message, AuthenticationCleartextPassword):
            return (
                "Postgres asks for the password itself (pg_hba.conf says password, ldap, pam or radius, or a service "
                f"stands in between). {MECHANISM} needs {_HBA}; otherwise use auth = relay"
            )
        return f"Postgres asks for something else than a password; there has to be {_HBA} for this host"


def _explain_error(error: ErrorResponse) -> str:
    if error.sqlstate == Sqlstate.INVALID_PASSWORD:
        return f"{error.message}: it is wrong, or has expired, or there is no such role (Postgres does not say which)"
    hint = error.fields.get("H")
    return f"Postgres refuses: {error.message}" + (f" ({hint})" if hint else "")
