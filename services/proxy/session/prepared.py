"""A prepared statement, as the client's Parse message gave it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from services.proxy.session.state import SessionState
from services.proxy.session.templates import Template, Templates
from services.proxy.sql.verdict import NameSpace


@dataclass(frozen=True, slots=True)
class LookUp:
    """How to find out what names meant at a moment when the session's own DDL was not in the catalog here yet.

    Once the catalog has been read again they are looked up in it, unless the session may have changed it in between.
    Before that, the session is not answered from the cache.

    Attributes:
        schemas: The search path.
        catalog: Number of the catalog that was known. If it is still the same, there was no DDL.
        definitions: How often the session may have changed the catalog. If no further time, it has been as it is now.
        reading: By which settings literals were read (`SessionState.reading`).
    """

    schemas: tuple[str, ...]
    catalog: int
    definitions: int
    reading: int = 0


Meaning = tuple[int, ...] | LookUp | None
"""OIDs of the relations that the names in a statement mean, how to find them out later, or that it is not known.

Behind the OIDs stands, as a negative number, by which settings its literals were read, if it has any.
"""


def meaning_of(template: Template, reading: int) -> tuple[int, ...]:
    """Return what a statement means that is prepared now."""
    names = template.analysis.names
    return (*names, -reading) if template.lexed.is_read_by_settings else names


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as a Parse message gave it.

    Attributes:
        text: The statement, as sent.
        parameter_types: The type OIDs that the client declared; 0 or missing: for Postgres to infer.
        raw: The Parse message itself, to prepare the statement upstream when it is needed there.
        meaning: What its names meant when it was parsed. Part of the identity, since Postgres does not look the names
            of a prepared statement up again.
    """

    text: bytes
    parameter_types: tuple[int, ...]
    raw: bytes
    meaning: Meaning = None


TellMeaning = Callable[[bytes], Meaning]
"""Tells what the names in a statement mean in a session now."""


def unknown_meaning(text: bytes) -> None:
    """Tell nothing: the session's search path or the catalog is not known."""


def means_otherwise(prepared: Prepared, templates: Templates, name_space: NameSpace) -> bool:
    """Tell whether a statement was prepared when its names meant other relations than now, or it is not known.

    Postgres resolves names once: a table that appears earlier on the search path later on changes nothing for a
    statement that is prepared already.
    """
    template = templates.find(prepared.text, name_space)
    if template is None or not isinstance(prepared.meaning, tuple):
        return True
    return tuple(number for number in prepared.meaning if number >= 0) != template.analysis.names


def was_read_otherwise(prepared: Prepared, template: Template, state: SessionState | None) -> bool:
    """Tell whether a statement was prepared under other settings than now, by which its literals were read."""
    return state is not None and prepared.meaning != meaning_of(template, state.reading)
