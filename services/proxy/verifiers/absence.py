"""Why there is no verifier for a login: what a source says in its place. Pure."""

from enum import StrEnum


class Absence(StrEnum):
    """What a source says when it has no verifier that fits; the value is for the log."""

    UNKNOWN = "it does not know the user"
    NO_PASSWORD = "the user has no password there, or it has expired"  # noqa: S105 - words, not a password
    NOT_SCRAM = "the user's password is stored in another form there (md5): set it anew under scram-sha-256"
    OUTDATED = "it has another verifier than Postgres: the password was changed, or has expired"
    NOT_ASKED = "it may not be asked"


class VerifiersUnavailable(Exception):
    """No source can be asked now that could know better. The message says why, without a secret."""
