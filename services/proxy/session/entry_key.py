"""The key of an answer: a digest of everything that can change it. Pure.

Parts are written with their lengths, so that no two different lists of parts read the same. The digest is what Redis
sees: no text, value or name leaves the proxy as a key.
"""

from collections.abc import Sequence
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
    digest = blake2b(_FORMAT, digest_size=_DIGEST_BYTES)
    literals = [literal.text.encode() for literal in lexed.literals]
    _add(digest, [state_key, fingerprint.encode(), lexed.template.encode(), *literals])
    _add(
        digest,
        [
            repr(
                (request.parameter_types, request.parameter_formats, request.result_formats, request.row_limit)
            ).encode()
        ],
    )
    _add(digest, request.values)
    _add(digest, [clock] if clock else [])
    _add(digest, settings)
    return digest.digest()


def _add(digest: blake2b, parts: Sequence[bytes | None]) -> None:
    digest.update(len(parts).to_bytes(4, "big"))
    for part in parts:
        if part is None:
            digest.update(b"\xff\xff\xff\xff")
        else:
            digest.update(len(part).to_bytes(4, "big"))
            digest.update(part)
