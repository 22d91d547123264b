"""Settings of a block that is held back: what the client has set for it, which Postgres does not know.

Only settings that the policies of some table read, and that exist in the session: a SET LOCAL that makes one leaves it
behind, empty, when its block has ended. What is held is part of the keys of the block's reads, and goes in front of
those that Postgres has to answer. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from services.proxy.cache.entry import Answer
from services.proxy.session.requests import Request
from services.proxy.session.state import SessionState, setting_digest
from services.proxy.sql.local_setting import LocalSetting
from services.shared.pgwire.backend import PortalSuspended
from services.shared.pgwire.frontend import format_of
from services.shared.pgwire.rows import Column, CommandComplete, DataRow, RowDescription

_TEXT_OID, _NO_OID = 25, 0
_TEXT_TYPES = (0, _TEXT_OID, 705, 1043)  # undeclared, text, unknown, varchar: a value is its bytes, in either format
_MARK_BYTES = 16


@dataclass(frozen=True, slots=True)
class HeldSetting:
    """One setting, and its value for the block.

    Attributes:
        name: Its name, folded.
        value: Its value, which may be a secret.
        digest: What stands for the value in keys.
        column: What the only column of the answer is called; empty: it was a SET, which gives no row.
    """

    name: str
    value: bytes = field(repr=False)
    digest: bytes
    column: str


Held = Mapping[str, HeldSetting]


def held_setting(found: LocalSetting, request: Request, state: SessionState) -> HeldSetting | None:
    """Return what a request sets; None when that is for Postgres."""
    if not any(name.lower() == found.name and digest is not None for name, digest in state.settings):
        return None
    if found.value is None:
        if (
            len(request.values) != 1
            or request.values[0] is None
            or not set(request.parameter_types) <= set(_TEXT_TYPES)
        ):
            return None
        value = request.values[0]
    elif request.values or request.parameter_types:
        return None
    else:
        value = found.value.encode()
    if len(request.parameter_types) > 1 or len(request.parameter_formats) > 1 or b"\0" in value:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return HeldSetting(found.name, value, setting_digest(text), found.column)


def setting_reply(request: Request, held: HeldSetting) -> bytes:
    """Return the wire reply to a request that sets something, without the ReadyForQuery that ends a turn."""
    if not held.column:
        return request.command_reply("SET")
    column = Column(held.column, _NO_OID, 0, _TEXT_OID, -1, -1, format_of(request.result_formats, 0))
    complete = PortalSuspended().encode() if request.row_limit == 1 else CommandComplete("SELECT 1").encode()
    return request.reply(Answer(RowDescription((column,)).encode(), DataRow((held.value,)).encode(), complete))


def mark_of(held: Held) -> bytes:
    """Return what tells blocks with other settings apart; empty without any."""
    if not held:
        return b""
    digest = blake2b(digest_size=_MARK_BYTES)
    for name in sorted(held):
        digest.update(repr((name, held[name].digest)).encode())
    return digest.digest()


def set_local(held: HeldSetting) -> bytes:
    """Return the statement that sets it in a block of Postgres's: one that takes no snapshot, whatever the client's."""
    name = b".".join(b'"%s"' % part.encode() for part in held.name.split("."))
    return b"SET LOCAL %s = %s" % (name, _quoted(held.value))


def set_for_statement(held: Iterable[HeldSetting]) -> bytes:
    """Return the statement that sets them in the transaction of one statement, which is no block."""
    calls = (b"pg_catalog.set_config(%s, %s, true)" % (_quoted(one.name.encode()), _quoted(one.value)) for one in held)
    return b"SELECT " + b", ".join(calls)


def _quoted(text: bytes) -> bytes:
    return b"'" + text.replace(b"'", b"''") + b"'"
