"""Passing on what the processes print."""

import io
import json

from services.standalone.output import Output


def _passed_on(name: str, line: str, *, as_json: bool) -> str:
    stream = io.StringIO()
    Output(stream, as_json=as_json).receive(name, line)
    return stream.getvalue()


def test_a_line_for_people_begins_with_the_name() -> None:
    assert _passed_on("cdc", "slot made", as_json=False) == "cdc         | slot made\n"


def test_a_line_that_is_json_is_passed_on_as_it_is() -> None:
    assert _passed_on("cdc", '{"event": "slot made"}', as_json=True) == '{"event": "slot made"}\n'


def test_a_line_that_is_not_json_becomes_an_event() -> None:
    event = json.loads(_passed_on("postgres", "{LOG}: ready", as_json=True))

    assert event["process"] == "postgres"
    assert event["event"] == "{LOG}: ready"
    assert event["timestamp"].endswith("Z")
