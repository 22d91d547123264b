"""A mix of reads and writes of the same rows by all sessions, from none to half writes: what is gained, what it costs.

Tidegate is measured at two levels: `session`, its default, where a session waits for nothing but asks Postgres for what
it may have changed itself, and `bounded`; and at `off`, where it forwards everything, which is what caching must not be
slower than. A lead-in before each round brings a cache to where it would be, had the other sides not written to the
same database meanwhile. Once Postgres stands beside all of them, and once it is a millisecond away.

Rounds write, so what is right changes all the time: while the cache warms up, a session reads its own writes and
another one reads at `bounded` what a third writes around the cache. After the rounds, when nobody writes, answers are
compared with Postgres's, at `strong` at once, then at the default.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from benchmarks.checking import wrong_answers
from benchmarks.delay import Distance, farther
from benchmarks.fresh_reads import old_reads, own_writes_missed
from benchmarks.measurement import DIRECT, PGBOUNCER, PGPOOL, TIDEGATE, Case, Run, Scenario, Target, interleaved
from benchmarks.peers import Peers, at_level, run_sql, running_peers
from benchmarks.pgbench import Load
from benchmarks.scenarios.mix_scripts import KEYS, SEQUENCE, mixes
from benchmarks.shop.reads import READ_KINDS
from benchmarks.shop.schema import ShopSize, setup_statements
from benchmarks.shop.shopper import Shopper
from benchmarks.shop.statements import Statement

_SIZE = ShopSize()
_CLIENTS = 8
_PROTOCOL = "prepared"
_SHARES = (0, 1, 5, 10, 50)  # percent of writes
_AWAY_SHARES, _AWAY_MILLISECONDS = (1, 10, 50), 1
_OFF, _BOUNDED = f"{TIDEGATE}, off", f"{TIDEGATE}, bounded"
_LEAD_IN_SECONDS, _CACHE_LEAD_IN_SECONDS = 1, 4
_CACHES = (PGPOOL, _BOUNDED, TIDEGATE)
_WARM_SECONDS = 3
_COLD_OPERATIONS = 8_000  # of each client
_MAX_STALENESS_SECONDS = 1.0
_CHECKED_READS = 500
_OWN_ROW, _OTHERS_ROW = _SIZE.products + 1, _SIZE.products + 2  # that the load never draws
_FORWARDING = (Target(_OFF, 0.85), Target(PGBOUNCER, 0.85))  # nothing may be slower by more than 15 %
_ASKED: Mapping[int, tuple[Target, ...]] = {1: (Target(DIRECT, 2.0),), 10: (Target(DIRECT, 1.0),)}


def measure_mix(run: Run) -> Iterator[Case]:
    """Measure each mix at each share of writes."""
    with running_peers(_make_shop) as peers:
        for name, weighted in mixes(_SIZE).items():
            for percent in (10,) if run.quick else _SHARES:
                load = Load(weighted.with_writes(percent), _PROTOCOL, _CLIENTS, run.seconds)
                yield _measure(peers, run, load, MIX.name, name, percent)
            if run.quick:
                return


def measure_mix_away(run: Run) -> Iterator[Case]:
    """Measure each mix with Postgres at a distance, as it mostly is."""
    way = partial(farther, distance=Distance(_AWAY_MILLISECONDS))
    with running_peers(_make_shop, way=way) as peers:
        for name, weighted in mixes(_SIZE).items():
            for percent in (10,) if run.quick else _AWAY_SHARES:
                load = Load(weighted.with_writes(percent), _PROTOCOL, _CLIENTS, run.seconds)
                yield _measure(peers, run, load, MIX_AWAY.name, name, percent)
            if run.quick:
                return


def _make_shop(url: str) -> None:
    run_sql(
        url,
        *setup_statements(_SIZE),
        SEQUENCE,
        *(f"INSERT INTO product VALUES ({row}, 1, 'checked', 1, 0, '2025-01-01')" for row in (_OWN_ROW, _OTHERS_ROW)),
        "VACUUM ANALYZE",
    )


def _measure(peers: Peers, run: Run, load: Load, scenario: str, name: str, percent: int) -> Case:
    wrong = _checked_warming(peers, _warming(load, percent, quick=run.quick))
    hit_ratios: dict[str, list[float]] = {_BOUNDED: [], TIDEGATE: []}
    with peers.sides(_PROTOCOL, _CLIENTS) as urls:
        urls |= {side: at_level(peers.url(TIDEGATE), level) for side, level in ((_OFF, "off"), (_BOUNDED, "bounded"))}
        urls[TIDEGATE] = urls.pop(TIDEGATE)  # the last column
        caches = () if run.quick else _CACHES
        leads = {side: _CACHE_LEAD_IN_SECONDS if side in caches else _LEAD_IN_SECONDS for side in urls}
        work = {side: _led_in(peers, url, load, leads[side], hit_ratios.get(side, [])) for side, url in urls.items()}
        samples = interleaved(run.rounds, work)
    wrong += _wrong_at_rest(peers, percent)
    own = (*_FORWARDING, *_ASKED.get(percent, ()))
    targets = (*own, *(replace(target, side=_BOUNDED) for target in own))
    remarks = {f"hits, {side}": f"{sum(ratios) / len(ratios):.0%} of turns" for side, ratios in hit_ratios.items()}
    facets: dict[str, str | float] = {"mix": name, "writes_percent": percent, "clients": _CLIENTS}
    return Case(scenario, f"{name}, {percent} % writes", "1/s", samples, targets, wrong, remarks, facets)


def _warming(load: Load, percent: int, *, quick: bool) -> Load:
    """Return the load that warms a cache up: by number where it begins cold, as what is rare takes long to come by."""
    if quick:
        return replace(load, seconds=1)
    return replace(load, seconds=_WARM_SECONDS) if percent else replace(load, transactions=_COLD_OPERATIONS)


def _checked_warming(peers: Peers, load: Load) -> int:
    """Run the load through Tidegate while others check it, and return how many answers were wrong."""
    url = peers.url(TIDEGATE)
    read, write = "SELECT stock FROM product WHERE id = %s", "UPDATE product SET stock = %s WHERE id = %s"
    with ThreadPoolExecutor() as others:
        warming = others.submit(peers.rate, url, load)
        own = others.submit(own_writes_missed, at_level(url, "session"), write, read, _OWN_ROW, warming.done)
        bounded = at_level(url, "bounded")
        old = others.submit(
            old_reads, peers.url(DIRECT), bounded, write, read, _OTHERS_ROW, _MAX_STALENESS_SECONDS, warming.done
        )
        warming.result()
        return own.result() + old.result()


def _led_in(peers: Peers, url: str, load: Load, seconds: int, hit_ratios: list[float]) -> Callable[[], float]:
    def measure() -> float:
        peers.rate(url, replace(load, seconds=seconds))
        hits, forwarded = peers.hits(), peers.forwarded()
        rate = peers.rate(url, load)
        hits, forwarded = peers.hits() - hits, peers.forwarded() - forwarded
        hit_ratios.append(hits / max(hits + forwarded, 1.0))
        return rate

    return measure


def _wrong_at_rest(peers: Peers, seed: int) -> int:
    url, direct = peers.url(TIDEGATE), peers.url(DIRECT)
    wrong = wrong_answers(direct, at_level(url, "strong"), checked_reads(random.Random(seed)), _PROTOCOL)
    time.sleep(_MAX_STALENESS_SECONDS)  # what is older than that is wrong at any level
    return wrong + wrong_answers(direct, url, checked_reads(random.Random(seed)), _PROTOCOL)


def checked_reads(chance: random.Random) -> Iterator[Statement]:
    """Yield reads of the shop in the texts of the load."""
    shopper = Shopper(chance, _SIZE)
    kinds = [kind for kind in READ_KINDS if not kind.name.endswith("of a day")]
    for kind in chance.choices(kinds, [kind.weight for kind in kinds], k=_CHECKED_READS):
        yield kind.next(shopper)


_SAID = (
    f"Operations a second of {_CLIENTS} clients, prepared, one statement each, ids by Zipf's law (exponent 1.05), "
    f"reads and writes of the same rows. *{KEYS.capitalize()}*: one look-up and one update of products. *The shop*: 21 "
    "kinds of reads (look-ups, lists, joins, aggregates, dashboards) and five of writes, weighted as in the shop. "
    "*Tidegate, off* forwards everything."
)
MIX = Scenario(
    "mix",
    "Reads and writes",
    f"{_SAID} Postgres, the clients and all of Tidegate share this machine's processors.",
    measure_mix,
)
MIX_AWAY = Scenario(
    "mix-away",
    "Reads and writes, Postgres a millisecond away",
    f"{_SAID} Postgres is {_AWAY_MILLISECONDS} ms away (there and back) from all that connect to it, as in the next "
    "data centre (a relay on the loopback, on the same processors).",
    measure_mix_away,
)
