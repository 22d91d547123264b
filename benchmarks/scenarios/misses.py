"""What the proxy costs where it has nothing to give: each key asked for once, and statements that are never cached.

The keys of a client are numbered through, so no key comes twice, in whatever round or protocol. The forwarded statement
is the same look-up with `clock_timestamp()` beside the column. A Redis round trip is measured in each round.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from redis import Redis

from benchmarks.checking import wrong_answers
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, running_peers
from benchmarks.pgbench import MODES, Load
from benchmarks.redis_clock import get_milliseconds
from benchmarks.scenarios.accounts import hot_reads, make_accounts
from tests.servers.processes import ServerError

_NEXT = "\\set n :n + 1\n\\set id :base + :client_id * :each + :n\n"
_MISS = f"{_NEXT}SELECT balance FROM account WHERE id = :id;\n"
_FORWARDED = f"{_NEXT}SELECT balance, clock_timestamp() FROM account WHERE id = :id;\n"
_EACH_A_SECOND: Mapping[int, int] = {1: 1_500, 8: 500}  # transactions of a client, by the number of clients
_QUICKER = 20
_FORWARD_BOUNDS: Mapping[int, float] = {1: 1.15, 8: 1.5}
_SIDES = (DIRECT, PGBOUNCER, TIDEGATE)
_REDIS, _ALLOWED = "a Redis GET", "forwarded + a Redis GET"
_LOOKED_UP, _READS = "Redis scripts run", "reads"
_MOST_LOOK_UPS = 0.1  # of the reads: a template is tried now and then (one in 16), and watermarks are scripts as well


class _Keys:
    """Deals out ranges of keys, none twice."""

    def __init__(self, peers: Peers, protocol: str, clients: int, each: int) -> None:
        self._peers = peers
        self._protocol, self._clients, self._each = protocol, clients, each
        self.bases: dict[str, int] = {}

    def latency(self, script: str, side: str, first: int) -> float:
        """Return the mean latency of a script whose keys begin behind `first`."""
        base = self.bases.get(side, first)
        self.bases[side] = base + self._clients * self._each
        variables = {"n": 0, "base": base, "each": self._each}
        load = Load(script, self._protocol, self._clients, transactions=self._each, variables=variables)
        return self._peers.latency(self._peers.url(side), load)


def measure_misses(run: Run) -> Iterator[Case]:
    """Measure misses and forwarded statements."""
    protocols = MODES[:1] if run.quick else MODES
    clients = (8,) if run.quick else tuple(_EACH_A_SECOND)
    each = {count: _EACH_A_SECOND[count] * run.seconds // (_QUICKER if run.quick else 1) for count in clients}
    # Of each side: rounds, and one to warm up, of misses; the same keys are forwarded.
    keys = {count: count * each[count] * (run.rounds + 1) for count in clients}
    with running_peers(partial(make_accounts, rows=len(protocols) * sum(keys.values()))) as peers:
        first = 0
        for protocol in protocols:
            for count in clients:
                yield from _measure(peers, run, protocol, count, each[count], first)
                first += keys[count]


def _measure(peers: Peers, run: Run, protocol: str, clients: int, each: int, first: int) -> Iterator[Case]:
    missing, forwarding = _Keys(peers, protocol, clients, each), _Keys(peers, protocol, clients, each)
    work = {("forwarded", side): partial(forwarding.latency, _FORWARDED, side, first) for side in _SIDES}
    work |= {("missed", side): partial(missing.latency, _MISS, side, first) for side in _SIDES}
    for warm in work.values():
        warm()
    scripts: list[float] = []

    def missed_by_us() -> float:
        before, hits = _scripts_run(peers), peers.hits()
        latency = missing.latency(_MISS, TIDEGATE, first)
        scripts.append((_scripts_run(peers) - before) / (clients * each))
        if hit := peers.hits() - hits:
            raise ServerError(f"{hit:.0f} reads were hits, of keys that were asked for once")
        return latency

    work["missed", TIDEGATE] = partial(missed_by_us)
    work["redis", _REDIS] = partial(get_milliseconds, peers.stack.redis_url, clients, each)
    found = interleaved(run.rounds, {_label(*key): one for key, one in work.items()})
    forwarded = {side: found[_label("forwarded", side)] for side in _SIDES}
    missed = {side: found[_label("missed", side)] for side in _SIDES}
    redis = found[_label("redis", _REDIS)]
    allowed = [sum(pair) for pair in zip(forwarded[TIDEGATE], redis, strict=True)]
    wrong = wrong_answers(peers.url(DIRECT), peers.url(TIDEGATE), hot_reads(rows=first + clients * each), protocol)
    name = f"{protocol}, {clients} client{'s' * (clients > 1)}"
    facets: dict[str, str | float] = {"protocol": protocol, "clients": clients}
    bound = Target(PGBOUNCER, _FORWARD_BOUNDS[clients], at_least=False)
    yield Case("misses", f"forwarded, {name}", "ms", forwarded, (bound,), 0, {}, facets | {"kind": "forwarded"})
    bound = Target(_ALLOWED, 1.0, at_least=False)
    samples = missed | {_REDIS: redis, _ALLOWED: allowed}
    yield Case("misses", f"missed, {name}", "ms", samples, (bound,), wrong, {}, facets | {"kind": "missed"})
    bound = Target(_READS, _MOST_LOOK_UPS, at_least=False, side=_LOOKED_UP)
    asked = {_LOOKED_UP: scripts, _READS: [1.0] * run.rounds}
    yield Case("misses", name, "a read", asked, (bound,), 0, {}, facets | {"kind": "look-ups"})


def _label(kind: str, side: str) -> str:
    return f"{kind} {side}"


def _scripts_run(peers: Peers) -> int:
    """Return how many scripts Redis has run: look-ups and fills are scripts, and so is a watermark now and then."""
    with Redis.from_url(peers.stack.redis_url) as redis:
        told = redis.info("commandstats")
    assert isinstance(told, dict)
    return int(told.get("cmdstat_evalsha", {}).get("calls", 0))


MISSES = Scenario(
    "misses",
    "Misses and forwarded statements",
    "Mean milliseconds of a read. *Missed*: every key is asked for once. *Forwarded*: the same read with "
    "`clock_timestamp()`, which is never cached. A Redis GET is one bare round trip through redis-py and hiredis. "
    "The second table: scripts that Redis ran for each missed read (a look-up is one, a fill is one), the last rounds.",
    measure_misses,
)
