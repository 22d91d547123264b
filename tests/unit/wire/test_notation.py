"""A stream that is written down is the same stream when it is read again."""

import pytest

from tests.wire.grammar import make_stream
from tests.wire.notation import NotationError, read_stream, write_stream
from tests.wire.running import CORPUS


@pytest.mark.parametrize("number", range(200))
def test_what_is_made_can_be_written_down(number: int) -> None:
    stream = make_stream(f"notation/{number}")
    assert read_stream(write_stream(stream)) == stream


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_kept_says_why_and_is_written_as_it_would_be(path: str) -> None:
    text = (CORPUS / path).read_text(encoding="utf-8")
    stream = read_stream(text)
    assert stream.why
    assert write_stream(stream) == text


@pytest.mark.parametrize("text", ["", "[]", '{"steps": []}', '{"why": "", "steps": [{"send": [["nothing"]]}]}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        read_stream(text)
