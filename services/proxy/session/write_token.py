"""Tokens: what carries read-your-writes from one connection to another, to another proxy or another process.

`SHOW tidegate.token` says how far the WAL had come when it was asked for, so behind everything that was acknowledged
before. `SET tidegate.token = '…'` has reads of a session forwarded until all of that has been evicted. Postgres keeps
the setting like any other: before a statement that reads it is forwarded, the session's own connection is asked to set
it to what holds now. So SHOW, `current_setting()` and a prepared statement work in every protocol, and the LSN is from
after the writes by construction. Consistency contract, section 9.6. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.shared.lsn import Lsn, parse_lsn
from services.shared.pgwire.frontend import Bind, Close, Execute, FrontendMessage, Parse, Target

_NAME = b"tidegate_token"
_FORM = re.compile(r"1:([0-9A-F]{8}):([^:]*):([0-9A-F]{1,8}/[0-9A-F]{1,8})")
_READS = re.compile(rb"\btidegate\"?\s*\.\s*\"?token\b", re.IGNORECASE)
_SHORT_BYTES = 1024  # longer statements are looked at when they are run, once for all times
_HANDED = (
    "SELECT pg_catalog.set_config('tidegate.token', "
    "coalesce(pg_catalog.current_setting('tidegate.token', true), ''), false)"
)
_SETS = re.compile(rb"\s*(?:set|reset)\b[^;]*;?\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WriteToken:
    """How far a server's WAL had come.

    Attributes:
        timeline: Eight hexadecimal digits.
        canary: The canary of the epoch; empty when there was none.
        lsn: An insert LSN, behind all writes that the token stands for.
    """

    timeline: str
    canary: str
    lsn: Lsn


def parse_token(text: str) -> WriteToken | None:
    """Read a token; None for what is none, or of another version: it then stands for everything up to now."""
    found = _FORM.fullmatch(text)
    return WriteToken(found[1], found[2], parse_lsn(found[3])) if found is not None else None


def reads_token(text: bytes) -> bool:
    """Tell whether a statement may show the session's token, and does more than to set it."""
    return _READS.search(text) is not None and _SETS.match(text) is None


def may_read_token(text: bytes) -> bool:
    """Tell, at once, whether a text may show the token; `reads_token` knows better."""
    return b"tidegate" in text.lower()


def prepares_token(messages: Sequence[FrontendMessage]) -> bool:
    """Tell whether a statement that may show the token is prepared: to describe it, Postgres has to have one."""
    parses = (message for message in messages if isinstance(message, Parse))
    return any(len(parse.sql) <= _SHORT_BYTES and reads_token(parse.sql) for parse in parses)


def set_token(cache: str, *, on_standby: bool = False) -> tuple[bytes, int]:
    """Return the messages that have Postgres set the session's token to what holds now, and how many are Closes.

    A standby's WAL is not its own: there the session goes on with the token that it was handed.

    Args:
        cache: The cache's name.
        on_standby: It is known to be one, where to name the canary is an error (hazard H55).
    """
    quoted = cache.replace("'", "''")
    query = f"""
        SELECT pg_catalog.set_config('tidegate.token', CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN coalesce(pg_catalog.current_setting('tidegate.token', true), '')
            ELSE pg_catalog.concat_ws(':', '1',
                pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8),
                coalesce((SELECT c.canary FROM tidegate.canary c
                    WHERE c.cache OPERATOR(pg_catalog.=) '{quoted}'::pg_catalog.text), ''),
                pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text)
            END, false)
    """  # noqa: S608 - of constants, and the cache's own name, quoted
    messages = (
        Close(Target.STATEMENT, _NAME),
        Parse(_NAME, (_HANDED if on_standby else query).encode()),
        Bind(_NAME, _NAME, (), (), ()),
        Execute(_NAME),
        Close(Target.PORTAL, _NAME),
        Close(Target.STATEMENT, _NAME),
    )
    closes = sum(isinstance(message, Close) for message in messages)
    return b"".join(message.encode() for message in messages), closes
