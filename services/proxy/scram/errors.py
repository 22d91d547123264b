"""What a SCRAM exchange ends with when it does not end well.

    ScramError
    ├── ClientRefused     a client's message breaks SCRAM, in the words and under the SQLSTATE that Postgres has for it
    └── ServerUnproven    what calls itself Postgres breaks SCRAM, or cannot prove that it knows the password

Neither quotes more of a peer's message than Postgres would: an attribute's letter, a mechanism's name.
"""

from services.shared.pgwire.notice import ErrorResponse, error_response
from services.shared.pgwire.sqlstate import Sqlstate


class ScramError(Exception):
    """The root of everything that this package raises on purpose."""


class ClientRefused(ScramError):
    """The client's message is refused; `response` is what Postgres would answer before it closes."""

    def __init__(
        self, message: str, detail: str | None = None, *, sqlstate: Sqlstate = Sqlstate.PROTOCOL_VIOLATION
    ) -> None:
        super().__init__(message)
        self.response = error_response("FATAL", sqlstate, message, detail)


class ServerUnproven(ScramError):
    """The server is not to be trusted; the message says why, to whoever runs the proxy."""


def malformed(detail: str) -> ClientRefused:
    """Return the refusal of a message that is not SCRAM."""
    return ClientRefused("malformed SCRAM message", detail)


def wrong_password(user: str) -> ErrorResponse:
    """Return what Postgres says when a password is wrong, or has expired, or there is none, or no such user."""
    message = f'password authentication failed for user "{user}"'
    return error_response("FATAL", Sqlstate.INVALID_PASSWORD, message)
