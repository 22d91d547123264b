"""More than one of a kind: two invalidators on one bucket, two proxies, two workers, two partitions of the event log.

And an invalidator that dies between what it sent and what it heard of it.
"""

from dataclasses import replace

import psycopg

from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.faults.processes import Killed, Stopped
from tests.chaos.history import now
from tests.chaos.meter import longest_bypass
from tests.chaos.stack import Plan, Standby
from tests.chaos.workload import Load

TWINS = replace(Plan(), kafka=False, invalidator_count=2)
PROXIES = replace(Plan(), kafka=False, proxy_count=2)
WORKERS = replace(PROXIES, workers=True)
PARTITIONS = replace(Plan(), settings={"partitions": 2})
WIDE = replace(PARTITIONS, cdc_count=2, invalidator_count=2, proxy_count=2, workers=True)
AWAITED = replace(Plan(), kafka=False, standby=Standby.AWAITED)
ASYNCHRONOUS = Load(settings="SET synchronous_commit = off")
TWO_PHASE = Load(two_phase=True)

_DEAD_SECONDS = 3.0
_NOTICED_SECONDS = 0.4  # what a busy machine does to a sample or two
_BLOWS = 5
_ROWS = 8
_HELD_SECONDS = 0.3  # of what the invalidator sends: it has read records, and waits for what became of its steps


class TwinKilled(Fault):
    """One of two invalidators on the same bucket is killed and stays away for a while."""

    name = "one of two invalidators killed -9"
    expected = "the other one has gone on all the time: no bypass"
    plan = TWINS

    def strike(self, scene: Scene) -> None:
        """Kill the one that came first, go on without it, start it again."""
        twin = scene.stack.services["invalidator"]
        scene.strike()
        twin.kill()
        scene.let_pass(_DEAD_SECONDS)
        bypass = longest_bypass(scene.meter.samples, scene.struck_at, now())
        scene.remarks.append(f"longest time without a hit while it was dead: {bypass:.2f} s")
        twin.start()
        scene.mend()
        wait_services(scene.stack)
        assert bypass < scene.stack.max_staleness + _NOTICED_SECONDS, f"nothing was served for {bypass:.2f} s"


class KilledMidScript(Fault):
    """The invalidator dies while what it has sent is on its way: Redis does it, and nobody hears of it."""

    name = "invalidator killed -9 five times with its steps under way"
    expected = "place and effect are one: what Redis did is not done again, what it did not do is"
    plan = replace(Plan(), kafka=False)
    load = Load(direct=0, proxied=0, reads=tables.ITEMS[64:])

    def strike(self, scene: Scene) -> None:
        """Hold what it sends of rows that nobody else reads or writes, kill it, let go what it sent, start it again."""
        link, invalidator = scene.stack.links["invalidator-redis"], scene.stack.services["invalidator"]
        session = scene.workload.new_session("blow")
        with psycopg.connect(scene.stack.proxied_url, autocommit=True) as reader:
            for item in tables.ITEMS[: _BLOWS * _ROWS]:  # cached, and asked for again when all is quiet
                scene.workload.read(reader, tables.READ_ITEM, item, session)
        scene.strike()
        for number in range(_BLOWS):
            link.stall_questions()
            try:
                with psycopg.connect(scene.stack.direct_url, autocommit=True) as writer:
                    scene.workload.set_items(writer, tables.ITEMS[number * _ROWS :][:_ROWS], session)
                scene.let_pass(_HELD_SECONDS)
                invalidator.kill()
            finally:
                link.mend()
            invalidator.start()
            wait_services(scene.stack)
        scene.mend()


def of(kind: type[Killed] | type[Stopped], part: str, what: str, plan: Plan, load: Load | None = None) -> Fault:
    """Return a part's death, or its freezing, on another stack or under another load than usual."""
    fault = kind(part, kafka=plan.kafka)
    fault.name = f"{fault.name}, {what}"
    fault.plan = plan
    fault.load = load or fault.load
    return fault


FAULTS: list[Fault] = [
    TwinKilled(),
    of(Killed, "invalidator", "one of two", TWINS),
    of(Stopped, "invalidator2", "one of two", TWINS),
    of(Killed, "redis", "two invalidators", TWINS),
    KilledMidScript(),
    of(Killed, "proxy2", "one of two", PROXIES),
    of(Stopped, "proxy", "one of two", PROXIES),
    of(Killed, "proxy2", "one of two workers", WORKERS),
    of(Stopped, "proxy", "one of two workers", WORKERS),
    of(Killed, "cdc", "two partitions", PARTITIONS),
    of(Killed, "invalidator", "two partitions", PARTITIONS),
    of(Stopped, "kafka", "two partitions", PARTITIONS),
    of(Killed, "redis", "two partitions, two of each service", WIDE),
    of(Killed, "postgres", "two partitions, two of each service", WIDE),
    of(Killed, "cdc", "a synchronous standby", AWAITED),
    of(Killed, "invalidator", "a synchronous standby", AWAITED),
    of(Killed, "redis", "a synchronous standby", AWAITED),
    of(Killed, "cdc", "asynchronous commits", replace(Plan(), kafka=False), ASYNCHRONOUS),
    of(Killed, "invalidator", "asynchronous commits", replace(Plan(), kafka=False), ASYNCHRONOUS),
    of(Killed, "cdc", "prepared transactions", replace(Plan(), kafka=False), TWO_PHASE),
    of(Killed, "postgres", "prepared transactions", replace(Plan(), kafka=False), TWO_PHASE),
]
