"""A prepared statement, as the client's Parse message gave it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as a Parse message gave it.

    Attributes:
        text: The statement, as sent.
        parameter_types: The type OIDs that the client declared; 0 or missing: for Postgres to infer.
        raw: The Parse message itself, to prepare the statement upstream when it is needed there.
        meaning: OIDs of the relations that its names meant when it was parsed; None: not known. Part of the identity,
            since Postgres does not look the names of a prepared statement up again.
    """

    text: bytes
    parameter_types: tuple[int, ...]
    raw: bytes
    meaning: tuple[int, ...] | None = None


Meaning = Callable[[bytes], tuple[int, ...] | None]
"""Tells what the names in a statement mean in a session now."""


def unknown_meaning(text: bytes) -> None:
    """Tell nothing: the session's search path or the catalog is not known."""
