"""An answer as one byte string in L2."""

import pytest

from services.proxy.cache.entry import Answer, Entry, Reply, decode_ageing, encode_ageing

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


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_ages_takes_the_moment_along_at_which_it_was_asked_for(answer: Answer) -> None:
    assert decode_ageing(encode_ageing(answer, 1_234.000001)) == (answer, 1_234.000001)


def test_a_body_with_a_moment_that_is_cut_short_is_refused() -> None:
    body = encode_ageing(Answer(b"description", b"rows", b""), 1_234.0)
    for length in range(len(body)):
        with pytest.raises(ValueError, match="cut short"):
            decode_ageing(body[:length])


@pytest.mark.parametrize(
    ("sent_at", "ttl", "expires_at"), [(0.0, float("inf"), 500.0), (100.0, 30.0, 130.0), (490.0, 30.0, 500.0)]
)
def test_a_reply_lasts_as_long_as_its_entry_and_as_its_turn_allows(
    sent_at: float, ttl: float, expires_at: float
) -> None:
    entry = Entry(b"k", ANSWERS[0], (), (), (), (), 500.0)
    entry.sent_at = sent_at
    reply = Reply(entry, b"payload", None, 1, ttl)
    assert (reply.expires_at, reply.ages) == (expires_at, ttl != float("inf"))
