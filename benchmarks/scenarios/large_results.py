"""Large results, 1 to 40 MB in rows of about 1 KB: megabytes a second, and how much memory the worker needs for them.

Of those of 1 MB one just fits into `capture_bytes` and is kept; one is a little too long, and is captured in vain. The
larger ones are passed on as they come. While eight clients read such results, one of them asks and does not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.measurement import DIRECT, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, run_sql, running_peers
from benchmarks.process_memory import peak_bytes, resident_bytes, restart_peak
from benchmarks.scenarios.reading import Expected, bytes_a_second, expected_answer, read_beside_a_sleeper, wrong_answers

_NAME = "large"
_MEBIBYTE = 1 << 20
_ROW_BYTES = 1_000
_MOST_ROWS = 40_000
_CLIENTS = (1, 8)
_ALLOWED = "allowed"
_ALLOWED_MIB = 32.0
"""Of eight clients that stream: a megabyte each that is captured until it is too long, and as much on its way."""


@dataclass(frozen=True, slots=True)
class _Size:
    name: str
    rows: int
    statements: int  # different ones, of different rows


_SIZES = (
    _Size("1 MB, kept", 980, 8),
    _Size("1.2 MB, a little too long to be kept", 1_150, 8),
    _Size("10 MB", 9_700, 2),
)
_STREAMED = (_Size("10 MB", 9_700, 1), _Size("40 MB", 38_800, 1))


def measure_large_results(run: Run) -> Iterator[Case]:
    """Measure throughput for one client and for eight, then memory."""
    with running_peers(_make_table) as peers:
        for size in _SIZES[:1] if run.quick else _SIZES:
            expected = _expected(peers.url(DIRECT), size)
            for clients in _CLIENTS[1:] if run.quick else _CLIENTS:
                yield _throughput(peers, run, size, expected, clients)
        yield _memory(peers, run)


def _make_table(url: str) -> None:
    run_sql(
        url,
        "CREATE TABLE wide (id int PRIMARY KEY, note text NOT NULL)",
        # Of digits that do not repeat, and not compressed: it is the passing on that is measured.
        "ALTER TABLE wide ALTER note SET STORAGE PLAIN",
        f"INSERT INTO wide SELECT g, left(repeat(md5(g::text), 32), {_ROW_BYTES}) "
        f"FROM generate_series(1, {_MOST_ROWS}) g",
        "VACUUM ANALYZE wide",
    )


def _expected(direct_url: str, size: _Size) -> list[Expected]:
    return [
        expected_answer(direct_url, f"SELECT id, note FROM wide WHERE id BETWEEN {first} AND {first + size.rows - 1}")
        for first in range(1, size.statements + 1)
    ]


def _throughput(peers: Peers, run: Run, size: _Size, expected: list[Expected], clients: int) -> Case:
    with peers.sides("simple", clients) as urls:
        wrong = sum(wrong_answers(url, expected) for side, url in urls.items() if side != DIRECT)

        def rate(url: str) -> float:
            return bytes_a_second(url, expected, clients, run.seconds) / 1e6

        before = peers.stack.counter("tidegate_proxy_hits_total")
        samples = interleaved(run.rounds, {side: partial(rate, url) for side, url in urls.items()})
        hits = peers.stack.counter("tidegate_proxy_hits_total") - before
    remarks = {"from the cache": "yes" if hits else "no", "bytes": f"{expected[0].size:,}"}
    name = f"{size.name}, {clients} clients" if clients > 1 else f"{size.name}, 1 client"
    return Case(_NAME, name, "MB/s", samples, (Target(DIRECT, 0.8),), wrong, remarks)


def _memory(peers: Peers, run: Run) -> Case:
    """Let the worker stream results of two lengths: its memory has to have the same bound for both."""
    clients = _CLIENTS[-1]
    worker = peers.stack.processes["proxy-0"]
    samples: dict[str, list[float]] = {_ALLOWED: []}
    wrong = 0
    for size in _STREAMED:
        (expected,) = _expected(peers.url(DIRECT), size)
        wrong += wrong_answers(peers.url(TIDEGATE), [expected], times=1)
        grown = samples.setdefault(f"{TIDEGATE}, {size.name}", [])
        for _ in range(run.rounds):
            before = resident_bytes(worker)
            restart_peak(worker)
            read_beside_a_sleeper(peers.url(TIDEGATE), expected, clients, 2)
            grown.append((peak_bytes(worker) - before) / _MEBIBYTE)
    samples[_ALLOWED] = [_ALLOWED_MIB] * run.rounds
    targets = tuple(Target(_ALLOWED, 1.0, at_least=False, side=side) for side in samples if side != _ALLOWED)
    name = f"peak growth of the worker, {clients} clients, one of which does not read"
    return Case(_NAME, name, "MiB", samples, targets, wrong)


LARGE_RESULTS = Scenario(
    _NAME,
    "Large results",
    "Rows of about 1 KB by simple queries, in megabytes a second of all clients together, which only count the bytes. "
    "Then the most by which the worker's resident memory grows meanwhile.",
    measure_large_results,
)
