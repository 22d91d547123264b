"""The key of an answer: a digest of everything that can change it. Pure.

Parts are written with their lengths, so that no two different lists of parts read the same. The digest is what Redis
sees: no text, value or name leaves the proxy as a key.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from services.proxy.session.requests import Request
from services.proxy.sql.template import Lexed

_FORMAT = b"2"  # of keys and entries: another format is another key
_DIGEST_BYTES = 20  # 160 bits: answers of different statements must never share a key


def entry_key(
    request: Request,
    lexed: Lexed,
    fingerprint: str,
    state_key: bytes,
    clock: bytes = b"",
    settings: Sequence[bytes | None] = (),
) -> bytes:
    """Return the key.

    Args:
        request: Parameters and formats.
        lexed: The statement, normalised.
        fingerprint: What the catalog says of the relations and functions that it names.
        state_key: Role, database and every setting of the session that can change an answer.
        clock: Which clock tells how old the answer is; empty for one that does not age.
        settings: Digests of the settings that the row security policies of its tables read; None: there is none.
    """
    return end_key(begin_key(lexed, fingerprint, state_key), request, clock, settings)


def begin_key(lexed: Lexed, fingerprint: str, state_key: bytes) -> blake2b:
    """Begin a key with what is the same for all executions of a statement; see `entry_key`. To be copied."""
    digest = blake2b(_FORMAT, digest_size=_DIGEST_BYTES)
    literals = [literal.text.encode() for literal in lexed.literals]
    _add(digest, [state_key, fingerprint.encode(), lexed.template.encode(), *literals])
    return digest


def end_key(digest: blake2b, request: Request, clock: bytes = b"", settings: Sequence[bytes | None] = ()) -> bytes:
    """Return the key that was begun so; see `entry_key`."""
    digest.update(_form(request.parameter_types, request.parameter_formats, request.result_formats, request.row_limit))
    _add(digest, request.values)
    _add(digest, [clock] if clock else [])
    _add(digest, settings)
    return digest.digest()


@lru_cache(maxsize=4096)
def _form(*form: tuple[int, ...] | int) -> bytes:
    """Write types, formats and row limit; of these there are few."""
    text = repr(form).encode()
    return (1).to_bytes(4, "big") + len(text).to_bytes(4, "big") + text


def _add(digest: blake2b, parts: Sequence[bytes | None]) -> None:
    digest.update(len(parts).to_bytes(4, "big"))
    for part in parts:
        if part is None:
            digest.update(b"\xff\xff\xff\xff")
        else:
            digest.update(len(part).to_bytes(4, "big"))
            digest.update(part)
