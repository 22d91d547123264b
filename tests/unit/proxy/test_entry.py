"""An answer as one byte string in L2."""

import pytest

from services.proxy.cache.entry import Answer

ANSWERS = [
    Answer(b"", b"", b""),
    Answer(b"description", b"rows", b"complete"),
    Answer(b"", b"rows of whom nobody asked for a description", b"complete"),
    Answer(b"description", b"", b"SELECT 0"),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_read_as_it_was_written(answer: Answer) -> None:
    assert Answer.decode(answer.encode()) == answer


def test_a_body_that_is_cut_short_is_refused() -> None:
    body = Answer(b"description", b"rows", b"").encode()
    for length in range(len(body)):
        with pytest.raises(ValueError, match="cut short"):
            Answer.decode(body[:length])
