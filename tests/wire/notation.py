"""Streams as JSON that a person can read and change: what a failure is stored as.

    {"why": "…", "steps": [{"send": [["parse", "", "SELECT $1", [23]], ["bind", "", "", [], ["7"], []], ["sync"]]}]}

Bytes are text where they are printable, `{"hex": "00ff"}` elsewhere, and null for NULL.
"""

import json
from collections.abc import Callable
from typing import Any

from services.shared.pgwire.frontend import (
    Bind,
    Close,
    CopyData,
    CopyDone,
    CopyFail,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
    Terminate,
)
from tests.wire.stream import Message, Raw, Step, Stream


class NotationError(ValueError):
    """A file that is no stream."""


def write_stream(stream: Stream) -> str:
    """Return a stream as JSON, one message a line."""
    steps = ",\n".join(f"    {_step(step)}" for step in stream.steps)
    startup = f'  "startup": {json.dumps(stream.startup)},\n' if stream.startup else ""
    return f'{{\n  "why": {json.dumps(stream.why)},\n{startup}  "steps": [\n{steps}\n  ]\n}}\n'


def read_stream(text: str) -> Stream:
    """Read what `write_stream` wrote.

    Raises:
        NotationError: It is something else.
    """
    try:
        found = json.loads(text)
        steps = tuple(
            Step(
                messages=tuple(_read_message(message) for message in step["send"]),
                on=int(step.get("on", 0)),
                ahead=bool(step.get("ahead", False)),
                settled=bool(step.get("settled", False)),
                cuts=tuple(step.get("cuts", ())),
            )
            for step in found["steps"]
        )
        startup = tuple((str(name), str(value)) for name, value in found.get("startup", ()))
        return Stream(steps, startup, found["why"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NotationError(f"no stream: {error!r}") from error


def show_message(message: Message) -> str:
    """Return one message on one line."""
    return json.dumps(_message(message), ensure_ascii=False)


def _step(step: Step) -> str:
    pairs: list[str] = []
    if step.on:
        pairs.append(f'"on": {step.on}')
    if step.ahead:
        pairs.append('"ahead": true')
    if step.settled:
        pairs.append('"settled": true')
    if step.cuts:
        pairs.append(f'"cuts": {json.dumps(step.cuts)}')
    messages = ",\n".join(f"      {show_message(message)}" for message in step.messages)
    pairs.append(f'"send": [\n{messages}\n    ]')
    return f"{{{', '.join(pairs)}}}"


def _text(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}
    return text if all(letter.isprintable() or letter == "\n" for letter in text) else {"hex": data.hex()}


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if not isinstance(value, str):
        raise NotationError(f"{value!r} is no text")
    return value.encode()


def _value(value: Any) -> bytes | None:
    return None if value is None else _bytes(value)


def _message(message: Message) -> list[Any]:
    match message:
        case Query(sql):
            return ["query", _text(sql)]
        case Parse(name, sql, types):
            return ["parse", _text(name), _text(sql), [*types]]
        case Bind(portal, name, formats, values, results):
            return ["bind", _text(portal), _text(name), [*formats], [_text(value) for value in values], [*results]]
        case Describe(target, name) | Close(target, name):
            return [type(message).__name__.lower(), chr(target), _text(name)]
        case Execute(portal, limit):
            return ["execute", _text(portal), limit]
        case FunctionCall(function, formats, values, result):
            return ["call", function, [*formats], [_text(value) for value in values], result]
        case CopyData(data) | Raw(data):
            return ["data" if isinstance(message, CopyData) else "raw", _text(data)]
        case CopyFail(reason):
            return ["fail", reason]
        case _:
            return [_NAMES[type(message)]]


_NAMES: dict[type, str] = {Sync: "sync", Flush: "flush", CopyDone: "done", Terminate: "terminate"}

_READERS: dict[str, Callable[..., Message]] = {
    "query": lambda sql: Query(_bytes(sql)),
    "parse": lambda name, sql, types: Parse(_bytes(name), _bytes(sql), tuple(types)),
    "bind": lambda portal, name, formats, values, results: Bind(
        _bytes(portal), _bytes(name), tuple(formats), tuple(map(_value, values)), tuple(results)
    ),
    "describe": lambda target, name: Describe(Target(ord(target)), _bytes(name)),
    "close": lambda target, name: Close(Target(ord(target)), _bytes(name)),
    "execute": lambda portal, limit: Execute(_bytes(portal), limit),
    "call": lambda function, formats, values, result: FunctionCall(
        function, tuple(formats), tuple(map(_value, values)), result
    ),
    "data": lambda data: CopyData(_bytes(data)),
    "raw": lambda data: Raw(_bytes(data)),
    "fail": CopyFail,
    "sync": Sync,
    "flush": Flush,
    "done": CopyDone,
    "terminate": Terminate,
}


def _read_message(written: list[Any]) -> Message:
    return _READERS[written[0]](*written[1:])
