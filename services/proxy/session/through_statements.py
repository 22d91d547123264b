"""Statements that go through: forwarded whatever their values are.

Nothing of such a turn is looked at but its form, what names its statement and, of a write, which rows it names; and
nothing of its answer but that it is all of a usual one. A statement's name is its Parse message, or what it was
prepared as. A simple query's is its *skeleton*: the text with its literals left blank, so that it is known though
nobody asked with these values before. Pure.
"""

import re
import struct
from typing import NamedTuple

from services.proxy.session.known_statements import Route
from services.proxy.session.prepared import Prepared
from services.proxy.session.templates import Template
from services.proxy.session.turn_form import TurnForm
from services.proxy.session.write_token import may_read_token
from services.proxy.sql.lexer import LiteralKind, literal_spans
from services.proxy.sql.template import Lexed, Literal
from services.shared.pgwire.backend import READY_FOR_QUERY, ParseComplete
from services.shared.pgwire.codes import BackendCode, TransactionStatus

MAX_SKELETON_BYTES = 16 * 1024  # longer texts are not worth a look through their bytes
_QUOTED, _NUMBER = re.compile(rb"'[^']*'"), re.compile(rb"[0-9]+")
_BLANK = re.compile(r"'[^']*'|[0-9]+")  # the same of a text that is decoded
_STRING, _INTEGER = LiteralKind.STRING, LiteralKind.INTEGER
_LENGTH = struct.Struct(">I").unpack_from
OUTSIDE, INSIDE = READY_FOR_QUERY[TransactionStatus.IDLE], READY_FOR_QUERY[TransactionStatus.IN_BLOCK]
_PARSE_COMPLETE = ParseComplete().encode()
_ROWS_AND_BEFORE = frozenset(
    int(code)
    for code in (
        BackendCode.PARSE_COMPLETE,
        BackendCode.BIND_COMPLETE,
        BackendCode.ROW_DESCRIPTION,
        BackendCode.NO_DATA,
        BackendCode.DATA_ROW,
    )
)
_COMPLETIONS = frozenset((int(BackendCode.COMMAND_COMPLETE), int(BackendCode.PORTAL_SUSPENDED)))


History = tuple[int, str]


class Through(NamedTuple):
    """What is known of a statement that goes through.

    Attributes:
        history: What this rests on: the number of the catalog, and the epoch that is followed.
        refusal: Why it is forwarded; empty where it is a read that is forwarded only while caching it does not pay.
        in_block: It goes through in a block of Postgres's.
        ends: It ends that block.
        changes_unnamed: The unnamed statement means something else behind it.
        unnamed: What it means then; None: nothing.
        writes: It may write.
        route: What is known of it, whatever its values are.
        template: Its analysis; of a simple query, that of another text of the same skeleton.
    """

    history: History
    refusal: str
    in_block: bool
    ends: bool
    changes_unnamed: bool
    unnamed: Prepared | None
    writes: bool
    route: Route
    template: Template


def analysis_of(text: bytes, template: Template) -> Template | None:
    """Return the analysis of a text by that of one with the same skeleton; None where it is no UTF-8."""
    try:
        blanks = _BLANK.findall(text.decode())
    except UnicodeDecodeError:
        return None
    literals = tuple(Literal(_STRING if blank[0] == "'" else _INTEGER, blank) for blank in blanks)
    known = template.lexed
    return template._replace(lexed=Lexed(known.template, literals, known.statement_count, known.keyword))


def statement_name(form: TurnForm) -> bytes:
    """Return what names the statement of a turn; empty for a text that cannot be told by its skeleton.

    It cannot where something hangs on the very text: a comment may ask for anything, a literal may name the token.
    """
    if not form.simple:
        return form.head
    text = form.head
    if len(text) > MAX_SKELETON_BYTES or may_read_token(text):
        return b""
    name = skeleton(text)
    return b"" if b"--" in name or b"/*" in name else name


def skeleton(text: bytes) -> bytes:
    """Return a text with its quoted strings and numbers left blank."""
    if b"'" in text:
        text = _QUOTED.sub(b"''", text)
    return _NUMBER.sub(b"0", text)


def stands_for_its_template(text: bytes) -> bool:
    """Tell whether all texts with the skeleton of this one are of its template.

    They are if what is left blank in it is just its literals, strings and whole numbers: what stands between two
    literals decides alone where the next one begins and of what kind it is, and that is the same in all of them.
    """
    decoded = text.decode()
    literals = literal_spans(decoded)
    if literals is None or any(kind not in (_STRING, _INTEGER) for kind, _ in literals):
        return False
    return [span for _, span in literals] == [found.span() for found in _BLANK.finditer(decoded)]


def is_usual_answer(data: bytes, *, parsed: bool, ready: bytes = OUTSIDE) -> bool:
    """Tell whether these bytes are all of the answer to one statement that succeeded.

    Args:
        data: The bytes, from the beginning of a message on.
        parsed: It begins with a ParseComplete.
        ready: The ReadyForQuery that ends it: `OUTSIDE` of a block, or `INSIDE` of one.
    """
    if parsed and not data.startswith(_PARSE_COMPLETE):
        return False
    last = len(data) - len(ready)
    if last <= 0 or not data.endswith(ready):
        return False
    at, kind = 0, 0
    while at + 4 < last:
        kind = data[at]
        at += 1 + _LENGTH(data, at + 1)[0]
        if kind not in _ROWS_AND_BEFORE:
            break
    return at == last and kind in _COMPLETIONS
