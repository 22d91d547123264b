"""What was said on one connection, in the form in which two sides are compared.

All bytes count but these: process id and key of BackendKeyData, process ids in notifications (the connection's number
stands for them), numbers of temporary schemas, and OIDs of what was made in the databases, which are numbered in the
order of their appearance. A notification from the other connection comes when it comes, so those are compared among
themselves; but never in the middle of a block. About a length that cannot be Postgres writes to its log alone and
closes; that the proxy tells the client too is meant so.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.shared.pgwire.backend import (
    BackendKeyData,
    CommandComplete,
    DataRow,
    NotificationResponse,
    ParameterDescription,
    RowDescription,
    decode_backend,
)
from tests.integration.wire_client import Answer

_FIRST_USER_OID = 16384
_MAX_SHOWN = 300  # characters of one message
_TEMPORARY_SCHEMA = re.compile(r"\bpg_temp_\d+")
_SAID_BY_THE_PROXY = "C='08P01' M=\"invalid message length"
_IN_BLOCK = ("Z T", "Z E")
_NO_PORTAL = "C='34000' M='portal \"\" does not exist'"
_OF_HALF_A_PORTAL = ("n", "I", "E S='ERROR' V='ERROR' C='25P02'", "Z E")
_MAX_LINES = 15  # of each side, from where they part
_PLACES = "FLR"  # file, line and routine in Postgres's source


@dataclass(frozen=True, slots=True)
class Transcript:
    """One connection's side.

    Attributes:
        lines: What the server said, one line a message.
        notifications: Those of the other connection.
        ended: The server closed the connection before the client left.
        silent: Something that was due never came.
    """

    lines: tuple[str, ...]
    notifications: tuple[str, ...]
    ended: bool
    silent: bool

    def all_lines(self) -> list[str]:
        """Return everything as lines."""
        end = ["… and then nothing more, though more was due"] if self.silent else []
        closed = ["… and closed the connection"] if self.ended else []
        return [*self.lines, *(f"from the other connection: {line}" for line in self.notifications), *end, *closed]


@dataclass(slots=True)
class _Names:
    """Numbers in place of OIDs."""

    numbers: dict[int, int] = field(default_factory=dict)

    def name(self, oid: int) -> str:
        if oid < _FIRST_USER_OID:
            return str(oid)
        return f"#{self.numbers.setdefault(oid, len(self.numbers) + 1)}"


def transcribe(heard: Sequence[Answer], pids: Sequence[int], own: int, *, ended: bool, silent: bool) -> Transcript:
    """Write down what was heard on a connection.

    Args:
        heard: The messages.
        pids: Process ids of the stream's connections, in order.
        own: This connection's number.
        ended: The server closed it.
        silent: Something that was due never came.
    """
    names = _Names()
    lines: list[str] = []
    notifications: list[str] = []
    for answer in heard:
        line = _line(answer, names, pids)
        foreign = answer.kind == "A" and int.from_bytes(answer.body[:4], "big") != pids[own]
        if foreign:
            notifications.append(f"{line} in the middle of a block" if lines[-1] in _IN_BLOCK else line)
        else:
            lines.append(line)
    if lines and ended and _SAID_BY_THE_PROXY in lines[-1]:
        del lines[-1]
    return Transcript(tuple(lines), tuple(notifications), ended, silent)


def _line(answer: Answer, names: _Names, pids: Sequence[int]) -> str:
    message = decode_backend(answer.raw)
    match message:
        case BackendKeyData(_, key):
            text = f"{len(key)} bytes of key"
        case RowDescription(columns):
            text = ", ".join(
                f"{column.name} ({names.name(column.relation)}.{column.attribute} type {names.name(column.type_oid)} "
                f"{column.type_length} {column.type_modifier} format {column.format})"
                for column in columns
            )
        case ParameterDescription(types):
            text = ", ".join(map(names.name, types))
        case DataRow(values):
            text = json.dumps([_value(value) for value in values])
        case NotificationResponse(pid, channel, payload):
            who = pids.index(pid) if pid in pids else "somebody"
            text = f"{channel} {payload!r} of {who}"
        case CommandComplete(tag):
            text = tag
        case _ if answer.kind in "EN":
            text = _fields(answer.fields)
        case _:
            text = repr(answer.body)[2:-1]
    return _TEMPORARY_SCHEMA.sub("pg_temp_N", f"{answer.kind} {text}".rstrip())


def _fields(fields: dict[str, str]) -> str:
    """Write an error; of one that breaks the stream, where Postgres found it is left out: the proxy is not in there."""
    if fields.get("C") == "08P01" and fields.get("V") == "FATAL":
        fields = {code: text for code, text in fields.items() if code not in _PLACES}
    return " ".join(f"{code}={text!r}" for code, text in fields.items())


def _value(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"\\x{value.hex()}"


def difference(direct: Sequence[Transcript], proxied: Sequence[Transcript]) -> str:
    """Return where two sides part, with both transcripts; empty when they are equal."""
    parts: list[str] = []
    for number, (left, right) in enumerate(zip(direct, proxied, strict=True)):
        if left != _with_lost_portals(left, right):
            parts.append(f"connection {number}:\n{_side_by_side(left.all_lines(), right.all_lines())}")
    return "\n".join(parts)


def _with_lost_portals(direct: Transcript, proxied: Transcript) -> Transcript:
    """Take it for the same where a block has failed and its unnamed portal is executed all the same.

    Postgres still has a portal that was half made when the block failed, and says nothing worth hearing about it. Where
    the block was held back, it failed without one.
    """
    expected, turns = _turns(direct), _turns(proxied)
    for at, (those, these) in enumerate(zip(expected, turns, strict=False)):
        lost = [line for line in these if not line.startswith("Z")]
        if len(lost) == 1 and _NO_PORTAL in lost[0] and all(line.startswith(_OF_HALF_A_PORTAL) for line in those):
            turns[at] = those
    return replace(proxied, lines=tuple(line for turn in turns for line in turn))


def _turns(transcript: Transcript) -> list[list[str]]:
    """Cut the lines behind each ReadyForQuery."""
    turns: list[list[str]] = [[]]
    for line in transcript.lines:
        turns[-1].append(line)
        if line.startswith("Z"):
            turns.append([])
    return turns


def _side_by_side(direct: list[str], proxied: list[str]) -> str:
    same = 0
    while same < min(len(direct), len(proxied)) and direct[same] == proxied[same]:
        same += 1
    greeting = next((at + 1 for at, line in enumerate(direct) if line.startswith("Z")), 0)
    common = [f"    both  {_short(line)}" for line in direct[min(greeting, same) : same]]
    left = [f"  direct  {_short(line)}" for line in direct[same : same + _MAX_LINES]]
    right = [f" proxied  {_short(line)}" for line in proxied[same : same + _MAX_LINES]]
    return "\n".join([*common, *(left or ["  direct  (nothing more)"]), *(right or [" proxied  (nothing more)"])])


def _short(line: str) -> str:
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}… ({len(line)} characters)"
