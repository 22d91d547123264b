"""What ends an incarnation of the CDC service, apart from the errors of its parts."""

from services.shared.runtime.lifecycle import Refusal


class SetupError(Refusal):
    """Postgres or our role in it is not set up for us. The text says what to run."""


class ControlError(Exception):
    """An ordinary connection to Postgres did not do what was asked.

    ControlError
    ├── ConnectionLostError     it is gone, cannot be made, or leads to another server than before
    └── StatementError          Postgres refused a statement
    """


class ConnectionLostError(ControlError):
    """There is no connection, or not to the server that we know."""


class StatementError(ControlError):
    """Postgres refused a statement.

    Attributes:
        sqlstate: Its five characters.
    """

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} ({sqlstate})")
        self.sqlstate = sqlstate
