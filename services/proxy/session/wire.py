"""The seam between a session's turns and its two connections."""

from typing import Protocol

from services.shared.pgwire.sqlstate import Sqlstate


class Wire(Protocol):
    """The two connections, as turns use them."""

    @property
    def client_full(self) -> bool:
        """Whether the client reads slower than it is written to."""

    def to_client(self, data: bytes) -> None:
        """Send to the client, at the latest when the event that is handled now is over."""

    def show(self) -> None:
        """Send to the client now what it was sent so far: what follows is nothing that it should wait for."""

    def to_postgres(self, data: bytes) -> None:
        """Send to Postgres."""

    def go_on(self) -> None:
        """A wait is over: handle what has come from the client meanwhile."""

    def end(self, sqlstate: Sqlstate, message: str) -> None:
        """End the session with an error that the client sees."""
