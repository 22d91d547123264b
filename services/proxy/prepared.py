"""A prepared statement, as the client's Parse message gave it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as a Parse message gave it.

    Attributes:
        text: The statement, as sent.
        parameter_types: The type OIDs that the client declared; 0 or missing: for Postgres to infer.
        raw: The Parse message itself, to prepare the statement upstream when it is needed there.
    """

    text: bytes
    parameter_types: tuple[int, ...]
    raw: bytes
