"""What caches that are played on paper have to say."""

from benchmarks.shop.on_paper import play_perfect, play_ttl
from benchmarks.shop.outcome import paper_hits
from benchmarks.shop.statements import statement
from benchmarks.shop.trace import Operation, Trace

_READ = Operation("product", 0, (statement("SELECT $1", 1),), False)
_OTHER = Operation("product", 0, (statement("SELECT $1", 2),), False)
_WRITE = Operation("stock", 0, (statement("UPDATE"),), True)


def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    trace = Trace((_READ,) * 25, rate=1)  # one a second
    outcome = play_ttl(trace, [b"right"] * 25, 10.0)
    assert set(range(25)) - outcome.hits == {0, 10, 20}
    assert not outcome.stale


def test_what_was_written_meanwhile_is_not_seen_and_counted() -> None:
    trace = Trace((_READ, _WRITE, _READ, _OTHER), rate=1)
    outcome = play_ttl(trace, [b"old", None, b"new", b"else"], 10.0)
    assert outcome.hits == {2}
    assert outcome.stale == {2}


def test_a_perfect_cache_answers_what_has_not_changed() -> None:
    trace = Trace((_READ, _WRITE, _READ, _READ, _OTHER, _WRITE, _OTHER), rate=1)
    outcome = play_perfect(trace, [b"old", None, b"new", b"new", b"else", None, b"else"])
    assert outcome.hits == {3, 6}
    assert not outcome.stale


def test_hits_are_told_by_tenths() -> None:
    trace = Trace((_READ,) * 20, rate=1)
    hits = paper_hits(trace, play_ttl(trace, [b"right"] * 20, 100.0))
    assert [(part.reads, part.hits) for part in hits] == [(2, 1), *[(2, 2)] * 9]
    assert hits[0].by_kind == {"product": (2, 1)}
