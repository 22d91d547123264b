"""Memory of an entry: what a small answer costs the worker and Redis, from a thousand of them to a hundred thousand.

Point SELECTs by primary key, read twice: the first time the answer is kept, the second time the ready-made reply to
the exact turn as well. By simple queries each key is another text, which is remembered, too; by the extended protocol
all have one. (Of an idle client: `python -m benchmarks idle`.)
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import redis

from benchmarks.checking import wrong_answers
from benchmarks.measurement import TIDEGATE, Case, Run, Scenario, Target
from benchmarks.peers import SETTINGS
from benchmarks.process_memory import resident_bytes
from benchmarks.scenarios.accounts import hot_reads, make_accounts
from benchmarks.scenarios.warming import wait_until_cached
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from tests.integration.wire_client import WireClient
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until
from tests.servers.stack import RunningStack, running_stack

_NAME = "entry-memory"
_COUNTS = (1_000, 10_000, 100_000)
_CLIENTS = 8
_BATCH = 100  # turns that each client sends at once
_WARM_KEYS = 500  # before the first reading, so that what is only paid once is not shared out
_ENTRIES = "tidegate_proxy_l1_entries"
_ESTIMATE = "L1's own estimate"
_MOST_STORED = 1_000  # entries of which Redis's memory is measured: what no other worker asks for it gets slowly
_SETTLED_LOOKS = 4
_LOOK_SECONDS = 0.5  # longer than it takes from one round of fills to the next
_SETTLE_SECONDS = 30.0
_STATEMENT = b"SELECT balance FROM account WHERE id = "
_NAME_OF_STATEMENT = b"s"


def measure_entry_memory(run: Run) -> Iterator[Case]:
    """Measure for both protocols and each number of entries, with a stack of its own: memory is not given back."""
    counts = _COUNTS[:1] if run.quick else _COUNTS
    with PostgresServer(**SETTINGS) as server:
        make_accounts(server.url(), _WARM_KEYS + max(counts))
        for protocol in ("simple", "prepared"):
            for count in counts:
                yield _measure(server.url(), protocol, count)


def _measure(direct_url: str, protocol: str, count: int) -> Case:
    environ = {
        "TIDEGATE_TLS": "off",
        "TIDEGATE_L1_BYTES": "1GiB",
        "TIDEGATE_AUDIT_RATE": "0",
        "TIDEGATE_ADMISSION": "always",  # each key is read twice: that would not pay
    }
    with running_stack(direct_url, "--workers", "1", environ=environ) as stack, ExitStack() as opened:
        wait_until_cached(stack, "SELECT balance FROM account WHERE id = 1")
        clients = [opened.enter_context(WireClient(stack.database_url).start()) for _ in range(_CLIENTS)]
        for client in clients:
            client.turns(Parse(_NAME_OF_STATEMENT, _STATEMENT + b"$1"), Sync())
        store = opened.enter_context(redis.Redis.from_url(stack.redis_url))
        keys = range(_WARM_KEYS + 1, _WARM_KEYS + count + 1)
        for _ in range(2):
            _read(clients, range(1, _WARM_KEYS + 1), protocol)
        shares = count <= _MOST_STORED
        before = _Held(stack, store, shares=shares)
        _read(clients, keys, protocol)
        kept = _Held(stack, store, shares=shares)
        _read(clients, keys, protocol)
        hit = _Held(stack, store, shares=shares)
        wrong = wrong_answers(direct_url, stack.database_url, hot_reads(rows=count), protocol)
    entries = max(1.0, hit.entries - before.entries)
    samples = {
        _ESTIMATE: [(hit.estimate - before.estimate) / entries],
        TIDEGATE: [(hit.resident - before.resident) / entries],
        "kept, not yet hit": [(kept.resident - before.resident) / entries],
    }
    remarks = {"entries": f"{entries:,.0f}", "worker, MiB": f"{hit.resident / 1024**2:.0f}"}
    if shares:
        samples["in Redis"] = [(hit.in_redis - before.in_redis) / entries]
        remarks["keys in Redis"] = f"{hit.stored - before.stored:,}"
    facets: dict[str, str | float] = {"protocol": protocol, "entries": count}
    # What the estimate bounds (l1_bytes) has to be about what is really taken. Texts have a bound of their own.
    targets = (Target(_ESTIMATE, 1.5, at_least=False),) if protocol == "prepared" else ()
    return Case(_NAME, f"{protocol}, {count:,} entries", "bytes each", samples, targets, wrong, remarks, facets)


class _Held:
    """What worker and Redis hold.

    Attributes:
        entries, estimate: Of L1, and its bytes by its own estimate.
        resident: The worker's resident memory.
        stored, in_redis: Keys in Redis, and its memory.
    """

    def __init__(self, stack: RunningStack, store: "redis.Redis", *, shares: bool) -> None:
        """Look; where the worker `shares` all of it with Redis, once that is done."""
        self.stored = _settled(lambda: int(store.dbsize())) if shares else 0
        self.entries = stack.counter(_ENTRIES)
        self.estimate = stack.counter("tidegate_proxy_l1_bytes")
        self.resident = resident_bytes(stack.processes["proxy-0"])
        self.in_redis = float(store.info("memory")["used_memory"])


def _settled(look: Callable[[], int]) -> int:
    """Return a figure once it has been the same for some looks in a row: fills go on in the background."""
    seen: list[int] = []

    def same() -> bool:
        time.sleep(_LOOK_SECONDS)
        seen.append(look())
        return len(seen) > _SETTLED_LOOKS and len(set(seen[-_SETTLED_LOOKS:])) == 1

    wait_until(same, "the fills to be stored", _SETTLE_SECONDS)
    return seen[-1]


def _read(clients: Sequence[WireClient], keys: range, protocol: str) -> None:
    """Read each key once, clients and turns of a batch at the same time."""
    for begin in range(0, len(keys), _BATCH * len(clients)):
        batches = [keys[at : at + _BATCH] for at in range(begin, begin + _BATCH * len(clients), _BATCH)]
        for client, batch in zip(clients, batches, strict=True):
            client.send(*(message for key in batch for message in _turn(key, protocol)))
        for client, batch in zip(clients, batches, strict=True):
            client.read_until("Z", len(batch))


def _turn(key: int, protocol: str) -> tuple[FrontendMessage, ...]:
    if protocol == "simple":
        return (Query(_STATEMENT + str(key).encode()),)
    return Bind(b"", _NAME_OF_STATEMENT, (), (str(key).encode(),), ()), Execute(b""), Sync()


ENTRY_MEMORY = Scenario(
    _NAME,
    "Memory of an entry",
    "Answers to point SELECTs by primary key, each read twice: growth of the worker's resident memory for each, beside "
    "what L1 counts for it (`l1_bytes` bounds that), and growth of Redis's, its indexes included.",
    measure_entry_memory,
)
