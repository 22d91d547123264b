"""The levels of consistency: what they cost on hits alone, and among writes of the same session to the same table.

*Other rows*: each transaction of the load writes a row of its client's own and then reads ten rows that nobody writes.
*Own row*: it writes a row and reads it ten times. At `session` those reads go to Postgres until the change has come
round, which at `bounded` nobody waits for; at `strong` each waits for its own proof.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.fresh_reads import own_writes_missed
from benchmarks.measurement import DIRECT, TIDEGATE, Case, Run, Scenario, interleaved
from benchmarks.peers import Peers, at_level, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.accounts import HOT_READ, HOT_ROWS, READ, hot_reads, make_accounts

_LEVELS = ("off", "bounded", "session", "strong")
_READS = 10
_WRITE = f"\\set own {HOT_ROWS} + 1 + :client_id\nUPDATE account SET balance = balance + 1 WHERE id = :own;\n"
_OTHER = _WRITE + HOT_READ * _READS
_OWN = _WRITE + READ.replace(":id", ":own") * _READS
_MOST_CLIENTS = 64
_CHECKED_WRITES = 200
_SET, _SHOW = "UPDATE account SET balance = %s WHERE id = %s", "SELECT balance FROM account WHERE id = %s"
_PROTOCOL = "prepared"
_LOADS: Mapping[str, tuple[str, int]] = {  # with the number of statements in each
    "reads": (HOT_READ, 1),
    f"a write, then {_READS} reads of other rows": (_OTHER, _READS + 1),
    f"a write, then {_READS} reads of that row": (_OWN, _READS + 1),
}


def measure_levels(run: Run) -> Iterator[Case]:
    """Measure each load at each level."""
    with running_peers(partial(make_accounts, rows=HOT_ROWS + _MOST_CLIENTS)) as peers:
        urls = {DIRECT: peers.url(DIRECT)}
        urls |= {f"{TIDEGATE}, {level}": at_level(peers.url(TIDEGATE), level) for level in _LEVELS}
        peers.warm(Load(HOT_READ, _PROTOCOL, 8))
        for clients in (8,) if run.quick else (1, 8):
            for name, (script, statements) in _LOADS.items():
                load = Load(script, _PROTOCOL, clients, run.seconds)
                yield _measure(peers, urls, run, load, name, statements)


def _measure(peers: Peers, urls: Mapping[str, str], run: Run, load: Load, name: str, statements: int) -> Case:
    for url in urls.values():
        peers.rate(url, Load(load.script, load.mode, load.clients, 1))
    transactions = interleaved(run.rounds, {side: partial(peers.rate, url, load) for side, url in urls.items()})
    samples = {side: [rate * statements for rate in rates] for side, rates in transactions.items()}
    row, enough = HOT_ROWS + _MOST_CLIENTS, iter([False] * _CHECKED_WRITES + [True])
    wrong = own_writes_missed(at_level(peers.url(TIDEGATE), "session"), _SET, _SHOW, row, enough.__next__)
    for level in ("strong", "off"):
        wrong += wrong_answers(peers.url(DIRECT), at_level(peers.url(TIDEGATE), level), hot_reads(), _PROTOCOL)
    facets: dict[str, str | float] = {"load": name, "clients": load.clients}
    return Case(
        "levels", f"{name}, {load.clients} client{'s' * (load.clients > 1)}", "1/s", samples, (), wrong, {}, facets
    )


LEVELS = Scenario(
    "levels",
    "Levels of consistency",
    "Statements a second at each level of consistency, prepared. Each client writes a row of its own, in the table "
    "that all read.",
    measure_levels,
)
