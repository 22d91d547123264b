"""How far a session is with the turn that it carries out."""

from enum import Enum, auto


class Stage(Enum):
    """Where a session's turn is."""

    IDLE = auto()  # every turn is answered
    ASKING_POSTGRES = auto()  # a question of the proxy's own, which has to be answered before the turn is decided
    ASKING_CACHE = auto()  # waiting for Redis, or for another session's query
    CLIENT_FULL = auto()  # waiting for the client to read
    FORWARDED = auto()  # waiting for Postgres
    CLOSED = auto()
