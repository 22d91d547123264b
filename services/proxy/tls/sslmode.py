"""What each `sslmode` of libpq means: how to try to reach Postgres, and in which order. Pure.

A further attempt follows where TLS fails in a mode that does not insist on it, and where the first answer to the
start-up packet is an error: pg_hba.conf may have lines for connections with TLS only, or without it only.
"""

from enum import Enum, auto


class Attempt(Enum):
    """One way to try."""

    PLAIN = auto()
    IF_OFFERED = auto()  # TLS where the server has it; else go on without it, on the same connection
    TLS = auto()


_ATTEMPTS: dict[str, tuple[Attempt, ...]] = {
    "disable": (Attempt.PLAIN,),
    "allow": (Attempt.PLAIN, Attempt.TLS),
    "prefer": (Attempt.IF_OFFERED, Attempt.PLAIN),
    "require": (Attempt.TLS,),
    "verify-ca": (Attempt.TLS,),
    "verify-full": (Attempt.TLS,),
}


def attempts(sslmode: str, *, unix_socket: bool) -> tuple[Attempt, ...]:
    """Return what to try, first things first. A unix socket never has TLS, whatever the mode says, as in libpq."""
    return (Attempt.PLAIN,) if unix_socket else _ATTEMPTS[sslmode]
