"""Which turns can be answered from a cache at all, and what exactly they ask.

A simple Query of one statement, or any number of `[Parse] Bind [Describe portal] Execute` on the unnamed portal, ended
by one Sync (a pipeline) or, where the client wants the answers of a part of its turn, a Flush. Everything else is
forwarded. Pure.
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.proxy.admission.economy import read_number
from services.proxy.cache.entry import Answer
from services.proxy.session.names import Names
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import Prepared, TellMeaning, unknown_meaning
from services.proxy.session.turns import Part, TurnAssembler
from services.shared.pgwire.backend import BindComplete, CommandComplete, NoData, ParseComplete
from services.shared.pgwire.errors import ProtocolViolation
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
    decode_frontend,
    format_of,
)

_PARSE_COMPLETE = ParseComplete().encode()
_BIND_COMPLETE = BindComplete().encode()
_NO_DATA = NoData().encode()
_UNNAMED = b""
_REBUILT = b"tidegate_portal"


class Request(NamedTuple):
    """What a turn asks.

    Attributes:
        text: The statement.
        parameter_types: Type OIDs as declared; 0 or missing: inferred by Postgres.
        parameter_formats: As in Bind.
        values: Parameter values; None is NULL.
        result_formats: As in Bind; empty when all are text.
        row_limit: How many rows at most; 0: all. Outside a block the end of the turn ends the portal, so the rest
            cannot be fetched, and the first rows with PortalSuspended are the whole answer. (asyncpg's fetchrow asks
            for one row so.) In a block that is held back see `block.HeldBlock.portal`.
        described: The client asked for the row description.
        parses: The turn parses the unnamed statement.
        sets_unnamed: The turn changes what the unnamed statement means (a simple Query forgets it).
        unnamed: What it means then; None: nothing.
        simple: The simple protocol.
        depends_on_unnamed: The unnamed statement of an earlier turn is meant, so equal bytes may ask something else.
        prepared_before: The statement that an earlier turn prepared, if one did.
        bound: Formats and values as they stand in the Bind.
    """

    text: bytes
    parameter_types: tuple[int, ...]
    parameter_formats: tuple[int, ...]
    values: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]
    row_limit: int
    described: bool
    parses: bool
    sets_unnamed: bool
    unnamed: Prepared | None
    simple: bool
    depends_on_unnamed: bool
    prepared_before: Prepared | None = None
    bound: bytes = b""

    @property
    def number(self) -> int:
        """By which the same read is known again; see `read_number`."""
        return read_number(self.text, self.bound)

    def parameter_format(self, index: int) -> int:
        """Return the format code of a parameter, counted from 0."""
        return format_of(self.parameter_formats, index)

    def reply(self, answer: Answer) -> bytes:
        """Return the wire reply to this request from an answer, without the ReadyForQuery that ends a turn."""
        return b"".join(self.pieces(answer))

    def pieces(self, answer: Answer) -> tuple[bytes, ...]:
        """Return the reply in pieces, of which those of the answer are its own: nothing is copied."""
        return (
            _PARSE_COMPLETE if self.parses else b"",
            b"" if self.simple else _BIND_COMPLETE,
            answer.description if self.described else b"",
            answer.rows,
            answer.complete,
        )

    def command_reply(self, tag: str) -> bytes:
        """Return the wire reply to this request for a command without rows, without ReadyForQuery."""
        described = self.described and not self.simple
        return self.reply(Answer(_NO_DATA if described else b"", b"", CommandComplete(tag).encode()))

    def rebuild_portal(self) -> tuple[bytes, int]:
        """Return the messages after which the unnamed portal is as this request leaves it, and how many are Closes."""
        messages = (
            Close(Target.STATEMENT, _REBUILT),
            Parse(_REBUILT, self.text, self.parameter_types),
            Bind(b"", _REBUILT, self.parameter_formats, self.values, self.result_formats),
            Execute(b"", self.row_limit),
            Close(Target.STATEMENT, _REBUILT),
        )
        return b"".join(message.encode() for message in messages), 2


def decode_part(part: Part) -> list[FrontendMessage] | None:
    """Decode a part's messages; None when one is malformed (Postgres will say so) or was too long to hold."""
    if not part.whole:
        return None
    try:
        return [decode_frontend(part.raw, start, end) for _, start, end in part.messages]
    except ProtocolViolation:
        return None


def one_turn(data: bytes) -> Part | None:
    """Cut bytes that may be just one turn; None when they are not."""
    assembler = TurnAssembler()
    assembler.feed(data)
    try:
        part = assembler.next_part(within_turn=False, copying=False)
    except ProtocolViolation:
        return None
    return part if part is not None and part.last and not assembler.buffered else None


def decode_turn(data: bytes) -> list[FrontendMessage] | None:
    """Decode bytes that may be just one turn; None when they are not, or cannot be read."""
    part = one_turn(data)
    return None if part is None else decode_part(part)


def read_requests(
    messages: Sequence[FrontendMessage], names: Names, unnamed: Prepared | None, meaning: TellMeaning = unknown_meaning
) -> list[tuple[Request, int]] | None:
    """Return what a turn, or a part of one, asks, statement by statement, each with the number of its messages.

    Args:
        messages: Those of the turn or of its part.
        names: What statement names mean.
        unnamed: What the unnamed statement means before them.
        meaning: What the names in a statement mean now.

    Returns:
        None when some of it is not of a form that a cache can answer.
    """
    if len(messages) == 1 and isinstance(messages[0], Query):
        return [(_simple(messages[0]), 1)]
    if not messages or not isinstance(messages[-1], Sync | Flush):
        return None
    requests: list[tuple[Request, int]] = []
    at, end = 0, len(messages) - 1
    while at < end:
        request, count = _read_extended(messages[at:end], names, unnamed, meaning)
        if request is None:
            return None
        requests.append((request, count))
        if request.sets_unnamed:
            unnamed = request.unnamed
        at += count
    return requests or None


def _simple(query: Query) -> Request:
    return Request(
        text=query.sql,
        parameter_types=(),
        parameter_formats=(),
        values=(),
        result_formats=(),
        row_limit=0,
        described=True,
        parses=False,
        sets_unnamed=True,
        unnamed=None,
        simple=True,
        depends_on_unnamed=False,
    )


def _read_extended(
    messages: Sequence[FrontendMessage], names: Names, unnamed: Prepared | None, meaning: TellMeaning
) -> tuple[Request | None, int]:
    """Read `[Parse] Bind [Describe] Execute` from the front, and count its messages."""
    match messages[:4]:
        case [Parse(statement=b"") as parse, Bind(portal=b"", statement=b"") as bind, *rest]:
            prepared = Prepared(parse.sql, parse.parameter_types, parse.encode(), meaning(parse.sql))
            return _bound(bind, rest, prepared, parses=True)
        case [Bind(portal=b"", statement=b"") as bind, *rest]:
            return _bound(bind, rest, unnamed, parses=False)
        case [Bind(portal=b"") as bind, *rest]:
            return _bound(bind, rest, names.get(bind.statement), parses=False)
        case _:
            return None, 0


def _bound(
    bind: Bind, rest: Sequence[FrontendMessage], prepared: Prepared | None, *, parses: bool
) -> tuple[Request | None, int]:
    match rest:
        case [Describe(Target.PORTAL, b""), Execute(b"", row_limit), *_]:
            described = True
        case [Execute(b"", row_limit), *_]:
            described = False
        case _:
            return None, 0
    if prepared is None:
        return None, 0
    request = Request(
        text=prepared.text,
        parameter_types=prepared.parameter_types,
        parameter_formats=bind.parameter_formats,
        values=bind.values,
        result_formats=() if not any(bind.result_formats) else bind.result_formats,
        row_limit=max(row_limit, 0),
        described=described,
        parses=parses,
        sets_unnamed=parses,
        unnamed=prepared if parses else None,
        simple=False,
        depends_on_unnamed=bind.statement == _UNNAMED and not parses,
        prepared_before=None if parses else prepared,
        bound=bind.encode_behind_names(),
    )
    return request, 2 + parses + described


def executed_texts(
    messages: list[FrontendMessage], names: Names, unnamed: Prepared | None, portals: Portals
) -> list[bytes] | None:
    """Return the statements that these messages run, or None when that cannot be told.

    A fast-path function call, a name that is not known here: not told.

    Args:
        messages: The messages.
        names: What statement names mean before them.
        unnamed: What the unnamed statement means before them.
        portals: What the portals of earlier turns run.
    """
    parsed: dict[bytes, bytes] = {}
    bound: set[bytes] = set()
    texts: list[bytes] = []
    for message in messages:
        match message:
            case Query(sql):
                texts.append(sql)
            case Parse(statement, sql):
                parsed[statement] = sql
            case Bind(portal, statement):
                text = parsed[statement] if statement in parsed else _known_text(statement, names, unnamed)
                if text is None:
                    return None
                texts.append(text)
                bound.add(portal)
            case Execute(portal) if portal not in bound:
                text = portals.text(portal)
                if text is None:
                    return None
                texts.append(text)
            case Execute():
                pass
            case Sync() | Flush() | Describe() | Close():
                pass
            case _:
                return None
    return texts


def bound_before(messages: list[FrontendMessage], names: Names, unnamed: Prepared | None) -> list[Prepared]:
    """Return the statements of earlier turns that these messages bind, as far as they are known."""
    parsed = {message.statement for message in messages if isinstance(message, Parse)}
    bound = (message.statement for message in messages if isinstance(message, Bind))
    found = (unnamed if name == _UNNAMED else names.get(name) for name in bound if name not in parsed)
    return [prepared for prepared in found if prepared is not None]


def _known_text(statement: bytes, names: Names, unnamed: Prepared | None) -> bytes | None:
    prepared = unnamed if statement == _UNNAMED else names.get(statement)
    return prepared.text if prepared is not None else None
