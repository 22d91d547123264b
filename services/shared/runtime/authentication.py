"""How clients are let in, as far as the settings say it. Pure."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

NO_QUERY: Final = "off"
"""In place of a query: Postgres is not asked for verifiers."""

DEFAULT_AUTH_QUERY: Final = (
    "SELECT rolname, rolpassword FROM pg_catalog.pg_authid "
    "WHERE rolname = $1 AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())"
)
"""Without a look at rolcanlogin: of a role that may not log in Postgres says so itself, to who has its password."""


class Authentication(StrEnum):
    """Who asks clients to prove themselves."""

    RELAY = "relay"
    SCRAM = "scram"


def check_auth_query(value: str) -> str:
    """Return the query as it is.

    Raises:
        ValueError: It asks for nobody.
    """
    if value != NO_QUERY and "$1" not in value:
        raise ValueError("it has no $1, which stands for the user's name")
    return value


def auth_contradictions(auth: Authentication, users_file: Path | None, auth_query: str) -> Iterator[tuple[str, str]]:
    """Find what does not go together: the name of a setting, and what would be right."""
    if auth is Authentication.RELAY:
        advice = "has no effect with auth = relay, where Postgres itself asks clients; set auth = scram too"
        if users_file is not None:
            yield "users_file", advice
        if auth_query != DEFAULT_AUTH_QUERY:
            yield "auth_query", advice
    elif users_file is None and auth_query == NO_QUERY:
        yield "auth_query", "with auth = scram, passwords are checked with verifiers: leave it out, or set users_file"
