"""A session without a connection to Postgres: what it can say by itself besides hits, so that drivers and pools go on.

Pools ask whether a connection lives (an empty statement, a bare Sync, `SELECT 1`) and tidy up behind each user of it,
drivers prepare what they run often. The session will never have a connection again, so a statement that is known to be
a cacheable read is prepared here: it is run here, or nowhere. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.proxy.session.orphan_statements import EMPTY, Known, known_statement, tidy_up
from services.proxy.session.prepared import Prepared, TellMeaning
from services.proxy.session.statements import SessionStatements
from services.shared.pgwire.backend import BIND_COMPLETE, CLOSE_COMPLETE, PARSE_COMPLETE, ParameterDescription
from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    Parse,
    Query,
    Sync,
    Target,
    format_of,
)

_NO_PARAMETERS = ParameterDescription(()).encode()


@dataclass(frozen=True, slots=True)
class Loner:
    """What such a session knows.

    Attributes:
        statements: What statement names mean; changed by what is answered.
        meaning: What the names in a statement mean.
        is_read: Whether a statement is a read that can be in the cache.
        untouched: Its settings are those that it began with, so that there is nothing to be reset.
    """

    statements: SessionStatements
    meaning: TellMeaning
    is_read: Callable[[bytes], bool]
    untouched: bool


def answer_alone(messages: Sequence[FrontendMessage], loner: Loner) -> tuple[bytes, int]:
    """Answer the first messages of a turn, as many as need neither Postgres nor the cache.

    Args:
        messages: The turn's, or those of a part of it.
        loner: The session.

    Returns:
        The answers, and to how many messages.
    """
    out: list[bytes] = []
    portal: tuple[Known, int] | None = None  # what the unnamed portal holds, and the format of its column
    for index, message in enumerate(messages):
        reply: bytes | None = None
        match message:
            case Query(sql):
                reply = _query(sql, loner)
            case Parse():
                reply = _parse(message, loner)
            case Bind(b"", name, values=()) if (known := _known(name, loner)) is not None:
                portal = known, format_of(message.result_formats, 0)
                reply = BIND_COMPLETE
            case Describe(Target.STATEMENT, name) if (known := _known(name, loner)) is not None:
                reply = _NO_PARAMETERS + known.describe(0)
            case Describe(Target.PORTAL, b"") if portal is not None:
                reply = portal[0].describe(portal[1])
            case Execute(b"") if portal is not None:
                reply = portal[0].run(portal[1])
            case Close():
                if message.target is Target.STATEMENT:
                    loner.statements.closed_here(message.name)
                reply = CLOSE_COMPLETE
            case Sync() | Flush():
                reply = b""
            case _:
                pass
        if reply is None:
            return b"".join(out), index
        out.append(reply)
    return b"".join(out), len(messages)


def _query(sql: bytes, loner: Loner) -> bytes | None:
    known = known_statement(sql)
    if known is None:
        reply = tidy_up(sql) if loner.untouched else None
    else:
        reply = known.run(0) if known is EMPTY else known.describe(0) + known.run(0)
    if reply is not None:
        loner.statements.answered_here(None)
    return reply


def _parse(parse: Parse, loner: Loner) -> bytes | None:
    name, sql = parse.statement, parse.sql
    if name and loner.statements.names.get(name) is not None:
        return None
    if known_statement(sql) is None and not loner.is_read(sql):
        return None
    loner.statements.prepared_here(name, Prepared(sql, parse.parameter_types, parse.encode(), loner.meaning(sql)))
    return PARSE_COMPLETE


def _known(name: bytes, loner: Loner) -> Known | None:
    prepared = loner.statements.names.get(name) if name else loner.statements.unnamed
    return known_statement(prepared.text) if prepared is not None else None
