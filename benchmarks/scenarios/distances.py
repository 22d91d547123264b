"""Hits from a Postgres that is further and further away: they must not be slower, whatever it costs to ask it."""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.delay import Distance, farther
from benchmarks.measurement import DIRECT, PGBOUNCER, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.accounts import HOT_READ, HOT_ROWS, hot_reads, make_accounts

_DISTANCES = (0, 1, 10, 50)  # milliseconds there and back
_BESIDE = "Tidegate, 0 ms"
_PROTOCOL = "prepared"
_MOST_SLOWER = 1.25  # what two rounds of the same may differ by


def measure_distances(run: Run) -> Iterator[Case]:
    """Measure the latency of hits, and of asking Postgres, at each distance."""
    distance = Distance()
    distances = _DISTANCES[::3] if run.quick else _DISTANCES
    with running_peers(partial(make_accounts, rows=HOT_ROWS), way=partial(farther, distance=distance)) as peers:
        for clients in (1,) if run.quick else (1, 8):
            load = Load(HOT_READ, _PROTOCOL, clients, run.seconds)
            peers.warm(load)
            sides = {(far, side): _from(peers, distance, far, side, load) for far in distances for side in _SIDES}
            found = interleaved(run.rounds, {f"{far} {side}": measure for (far, side), measure in sides.items()})
            distance.milliseconds = 0
            wrong = wrong_answers(peers.url(DIRECT), peers.url(TIDEGATE), hot_reads(), _PROTOCOL)
            for far in distances:
                samples = {side: found[f"{far} {side}"] for side in (DIRECT, PGBOUNCER)}
                samples |= {_BESIDE: found[f"0 {TIDEGATE}"], TIDEGATE: found[f"{far} {TIDEGATE}"]}
                targets = (Target(_BESIDE, _MOST_SLOWER, at_least=False), Target(DIRECT, 1.0, at_least=False))
                name = f"{far} ms away, {clients} client{'s' * (clients > 1)}"
                facets: dict[str, str | float] = {"distance_ms": far, "clients": clients}
                yield Case("distances", name, "ms", samples, targets if far else (), wrong, {}, facets)


_SIDES = (DIRECT, PGBOUNCER, TIDEGATE)


def _from(peers: Peers, distance: Distance, far: int, side: str, load: Load) -> Callable[[], float]:
    def measure() -> float:
        distance.milliseconds = far
        return peers.latency(peers.url(side), load)

    return measure


DISTANCES = Scenario(
    "distances",
    "Distance to Postgres",
    "Mean milliseconds of a point SELECT on 1,000 hot rows, prepared, with Postgres so far away (there and back) from "
    "all that connect to it (a relay on the loopback; it costs something at 0 ms as well).",
    measure_distances,
)
