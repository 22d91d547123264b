"""The turns of sessions that drivers had with a real Postgres, with what Postgres answered to each."""

from collections.abc import Iterator
from pathlib import Path

from services.proxy.session.turns import Part, PartKind, TurnAssembler
from services.shared.pgwire.codes import BackendCode, FrontendCode
from services.shared.pgwire.framing import BACKEND_LIMITS, FRONTEND_LIMITS, MessageBuffer
from services.shared.pgwire.startup import StartupBuffer

SESSIONS = Path(__file__).parent.parent / "pgwire" / "sessions"
RECORDED = ["asyncpg-18", "psycopg-18", "scram-18", "future-18"]


def client_stream(name: str) -> bytes:
    """Return what a client sent once it was let in."""
    startup = StartupBuffer()
    startup.feed((SESSIONS / f"{name}.frontend.bin").read_bytes())
    startup.take()
    messages = MessageBuffer(FRONTEND_LIMITS)
    messages.feed(startup.release())
    return b"".join(message.raw for message in messages if message.code != FrontendCode.PASSWORD)


def recorded_turns(name: str) -> Iterator[tuple[list[Part], bytes]]:
    """Yield each turn in its parts, and all that Postgres sent until its ReadyForQuery."""
    answers = _answers(name)
    next(answers)  # the start-up's
    assembler = TurnAssembler()
    assembler.feed(client_stream(name))
    parts: list[Part] = []
    while (part := assembler.next_part(within_turn=bool(parts), copying=bool(parts))) is not None:
        if part.kind is PartKind.TERMINATE:
            return
        parts.append(part)
        copies = not assembler.open and assembler.buffered and _next_is_copy(assembler)
        if not assembler.open and not copies:
            yield parts, next(answers)
            parts = []


def _next_is_copy(assembler: TurnAssembler) -> bool:
    return assembler._data[assembler._start] in b"dcf"


def _answers(name: str) -> Iterator[bytes]:
    messages = MessageBuffer(BACKEND_LIMITS)
    messages.feed((SESSIONS / f"{name}.backend.bin").read_bytes())
    answer = b""
    for message in messages:
        answer += message.raw
        if message.code == BackendCode.READY_FOR_QUERY:
            yield answer
            answer = b""
