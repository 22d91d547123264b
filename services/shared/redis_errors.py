"""An error of Redis in words that tell what to do, for logs and for people. Pure but for the names of errors."""

from redis.exceptions import AskError, MovedError, NoPermissionError, TryAgainError

from services.shared.redis_rights import ADVICE

_MOVING = "the cluster is moving our keys to another node; reads go to Postgres until it has"


def describe(error: Exception) -> str:
    """Return what an error says, and what to do where that is not plain."""
    text = str(error) or "no answer in time"
    if isinstance(error, NoPermissionError):
        return f"{text}: {ADVICE}"
    if isinstance(error, TryAgainError) or (isinstance(error, AskError) and not isinstance(error, MovedError)):
        return f"{text}: {_MOVING}"
    return text
