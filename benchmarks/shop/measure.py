"""Plays one trace for each share of writes to every cache, and judges what they answered."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.shop.counting import COUNTING
from benchmarks.shop.on_paper import play_perfect, play_ttl
from benchmarks.shop.outcome import (
    PERFECT,
    PGPOOL_EXTENDED,
    PGPOOL_SIMPLE,
    TIDEGATE_DEFAULT,
    TIDEGATE_FULL,
    ShopOutcome,
    paper_hits,
)
from benchmarks.shop.peers import (
    MAX_STALENESS_SECONDS,
    fresh_copy,
    make_template,
    play_directly,
    play_pgpool,
    play_tidegate,
)
from benchmarks.shop.player import Played
from benchmarks.shop.schema import ShopSize, setup_statements
from benchmarks.shop.staleness import wrong_answers
from benchmarks.shop.trace import Trace, make_trace
from tests.servers.postgres import PostgresServer

_TTL_SECONDS = 10.0
_IDENTITIES = {TIDEGATE_FULL: "FULL", TIDEGATE_DEFAULT: "DEFAULT"}


class WrongAnswer(RuntimeError):
    """A cache answered what it had promised not to: nothing that was measured counts."""


@dataclass(frozen=True, slots=True)
class ShopRun:
    """How a trace is made.

    Attributes:
        write_shares: Of the operations; a trace for each.
        seconds: How long a trace takes.
        rate: Operations due in a second.
        seed: What chance begins with.
        size: The shop.
    """

    write_shares: tuple[float, ...] = (0.01, 0.05, 0.1, 0.5)
    seconds: int = 20
    rate: int = 500
    seed: str = "shop"
    size: ShopSize = field(default_factory=ShopSize)


def measure_shop(run: ShopRun) -> Iterator[ShopOutcome]:
    """Play a trace for each share of writes to every cache.

    Raises:
        WrongAnswer: Tidegate gave an answer that its level does not allow.
    """
    settings = COUNTING | {"shared_buffers": "256MB", "max_connections": "200", "max_slot_wal_keep_size": "4GB"}
    with PostgresServer(**settings) as server:
        make_template(server, setup_statements(run.size))
        for write_share in run.write_shares:
            trace = make_trace(run.seed, write_share, run.seconds * run.rate, run.rate, run.size)
            yield from _measure(server, trace, write_share)


def _measure(server: PostgresServer, trace: Trace, write_share: float) -> Iterator[ShopOutcome]:
    right = play_directly(server, trace)
    for peer, identity in _IDENTITIES.items():
        played, reasons = play_tidegate(server, trace, identity)
        with fresh_copy(server) as url:
            stale, wrong = wrong_answers(url, trace, played, right.answers, MAX_STALENESS_SECONDS)
        if wrong:
            examples = [trace.operations[index] for index in sorted(wrong)[:3]]
            raise WrongAnswer(f"{peer}, {write_share:.0%} writes: {len(wrong)} wrong answers, as to {examples}")
        seconds = played.ended[-1] - played.began[0]
        yield ShopOutcome(write_share, peer, tuple(played.hits), len(stale), len(wrong), dict(reasons), seconds)
    for peer in (PGPOOL_SIMPLE, PGPOOL_EXTENDED):
        played = play_pgpool(server, trace, simple=peer == PGPOOL_SIMPLE)
        yield ShopOutcome(write_share, peer, tuple(played.hits), _differing(played, right), None)
    papers = {
        f"{_TTL_SECONDS:.0f} s TTL": play_ttl(trace, right.answers, _TTL_SECONDS),
        PERFECT: play_perfect(trace, right.answers),
    }
    for peer, paper in papers.items():
        yield ShopOutcome(write_share, peer, paper_hits(trace, paper), len(paper.stale), None)


def _differing(played: Played, right: Played) -> int:
    return sum(answer != expected for answer, expected in zip(played.answers, right.answers, strict=True))
