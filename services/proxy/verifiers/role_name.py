"""The role that a start-up packet means, and how it is shown. Pure."""

from typing import Final

_MAX_NAME_BYTES: Final = 63  # Postgres's NAMEDATALEN - 1
_SHOWN_CHARACTERS: Final = 200


def role_name(user: str) -> str | None:
    """Return the role that Postgres takes a user for, cut as Postgres cuts it; None if no role can be called so.

    Args:
        user: As `StartupMessage.user` gives it.
    """
    try:
        return user.encode("utf-8", "surrogateescape")[:_MAX_NAME_BYTES].decode("utf-8")
    except UnicodeError:
        return None


def printable(text: str) -> str:
    """Return a text that holds what a stranger sent, so that it can be logged."""
    return text.encode(errors="backslashreplace").decode()[:_SHOWN_CHARACTERS]
