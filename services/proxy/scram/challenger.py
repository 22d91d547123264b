"""The wire between us and a client that proves itself: `p` messages in, `R` messages out, around a `ServerExchange`.

A client is not admitted yet: its messages are short, or it is refused before their bytes are kept. Pure.
"""

from typing import Final

from services.proxy.scram.errors import ClientRefused, wrong_password
from services.proxy.scram.server import NotProven, Proven, ServerExchange
from services.shared.pgwire.authentication import AuthenticationSasl, AuthenticationSaslContinue
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.fields import FieldReader
from services.shared.pgwire.framing import HEADER_BYTES, MIN_LENGTH, MessageBuffer, MessageLimits
from services.shared.pgwire.notice import ErrorResponse, error_response
from services.shared.pgwire.sqlstate import Sqlstate

MAX_MESSAGE_BYTES: Final = 1024
"""Postgres's PG_MAX_SASL_MESSAGE_LENGTH."""

_LIMITS: Final = MessageLimits({}, MAX_MESSAGE_BYTES + MIN_LENGTH)
_RESPONSE: Final = int(FrontendCode.PASSWORD)


class Challenger:
    """Asks one client.

    Attributes:
        outcome: Whether it knows the password, once that is known.
        refusal: What it is told when it broke the protocol; the login is over then.
        early: What it sent ahead, behind its proof.
    """

    def __init__(self, user: str, exchange: ServerExchange) -> None:
        """Prepare.

        Args:
            user: Who it wants to be, by the start-up packet.
            exchange: What it is asked.
        """
        self._user = user
        self._exchange = exchange
        self._messages = MessageBuffer(_LIMITS)
        self._selected = False
        self.outcome: Proven | NotProven | None = None
        self.refusal: ErrorResponse | None = None
        self.early = b""

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected from the client."""
        return self.outcome is not None or self.refusal is not None

    def offer(self) -> bytes:
        """Return what the client is asked first."""
        return AuthenticationSasl(self._exchange.mechanisms).encode()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; return what it is answered, which may be nothing yet."""
        if not self._messages.pending and data and data[0] != _RESPONSE:
            self._refuse_type(data[0])
            return b""
        self._messages.feed(data)
        answers: list[bytes] = []
        try:
            for message in self._messages:
                if self.ended:
                    self.early += message.raw
                elif message.code != _RESPONSE:
                    self._refuse_type(message.code)
                else:
                    answers.append(self._respond(message.raw[HEADER_BYTES:]))
        except ProtocolViolation:
            # A length that cannot be. Postgres gives up on such a client, and tells it no more than this.
            self.refusal = wrong_password(self._user)
        if self.ended:
            self.early += self._messages.release()
        return b"".join(answers)

    def _respond(self, data: bytes) -> bytes:
        try:
            answer = self._exchange.respond(data if self._selected else self._select(data))
        except ClientRefused as refused:
            self.refusal = refused.response
            return b""
        if isinstance(answer, bytes):
            return AuthenticationSaslContinue(answer).encode()
        self.outcome = answer
        return b""

    def _select(self, data: bytes) -> bytes | None:
        """Read a SASLInitialResponse in Postgres's order, so that what is wrong first is told first."""
        self._selected = True
        reader = FieldReader(data)
        try:
            self._exchange.select(reader.text())
            first = reader.counted()
            reader.expect_end()
        except ProtocolViolation as violation:
            raise ClientRefused(violation.message, sqlstate=violation.sqlstate) from violation
        return first

    def _refuse_type(self, code: int) -> None:
        message = f"expected SASL response, got message type {code}"
        self.refusal = error_response("FATAL", Sqlstate.PROTOCOL_VIOLATION, message)
