"""Our part of a nonce, which makes every exchange another one, so that no message of it can be replayed. Pure."""

import secrets
from typing import Final

from services.proxy.scram import b64

_NONCE_BYTES: Final = 18  # Postgres's SCRAM_RAW_NONCE_LEN


def fresh_nonce() -> bytes:
    """Make one: printable, without a comma."""
    return b64.encode(secrets.token_bytes(_NONCE_BYTES))
