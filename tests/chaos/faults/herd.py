"""Two hundred clients read the same few rows when the cache becomes cold: does Postgres get all of them?"""

import asyncio
import random
import threading
from dataclasses import replace
from itertools import pairwise

import psycopg

from services.shared.keyspace.keys import Keys
from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import Read, now
from tests.chaos.stack import CACHE, Plan
from tests.chaos.workload import Load
from tests.servers.processes import wait_until

_CLIENTS = 200
_ITEMS = tables.HOT_ITEMS
_PAUSE_SECONDS = 0.15
_BUMPS = 3
_BETWEEN_SECONDS = 3.0
_MISSES = "tidegate_proxy_forwarded_total"
_JOINED = "tidegate_proxy_hits_joined_total"
_SAMPLE_SECONDS = 0.05
_END_SECONDS = 30.0


class Herd(Fault):
    """The bucket is gone, again and again: a new epoch, everything cold, everybody asks at once."""

    name = "cache cold with 200 clients on 8 rows"
    expected = "one query for each row and moment; the others join it"
    plan = replace(Plan(), kafka=False, postgres={"max_connections": 400})
    load = Load(direct=1, items=_ITEMS)

    def __init__(self) -> None:
        self._crowd: _Crowd | None = None

    def prepare(self, scene: Scene) -> None:
        """Bring the crowd."""
        self._crowd = _Crowd(scene)
        self._crowd.start()

    def strike(self, scene: Scene) -> None:
        """Delete the bucket's head some times, and watch what reaches Postgres."""
        assert self._crowd is not None
        invalidator, proxy = scene.stack.services["invalidator"], scene.stack.proxy
        scene.strike()
        begun, samples = now(), [(now(), proxy.metric(_MISSES), self._crowd.reads)]
        joined = proxy.metric(_JOINED)
        for _ in range(_BUMPS):
            epochs = invalidator.metric("tidegate_invalidator_epochs_total")
            with scene.stack.redis_client() as client:
                client.delete(Keys(CACHE).meta)
            until = now() + _BETWEEN_SECONDS
            while now() < until:
                scene.let_pass(_SAMPLE_SECONDS)
                samples.append((now(), proxy.metric(_MISSES), self._crowd.reads))
            assert invalidator.metric("tidegate_invalidator_epochs_total") > epochs, "no new epoch began"
        scene.mend()
        peak = max((after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(samples))
        asked = (samples[-1][2] - samples[0][2]) / (now() - begun)
        joined = proxy.metric(_JOINED) - joined
        scene.remarks.append(
            f"{asked:,.0f} reads/s, peak {peak:,.0f} to Postgres (factor {peak / asked:.2f}), {joined:,.0f} joined"
        )
        wait_services(scene.stack)

    def check(self, scene: Scene) -> None:
        """Send the crowd home."""
        assert self._crowd is not None
        self._crowd.end()


class _Crowd:
    """The clients, in one thread.

    Attributes:
        reads: How many answers they have had.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._over = False
        self._there = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="crowd", daemon=True)
        self.reads = 0

    def start(self) -> None:
        """Let them come, and wait until all are there."""
        self._thread.start()
        wait_until(lambda: self._there == _CLIENTS, "all clients to be there", 2 * _END_SECONDS)

    def end(self) -> None:
        """Let them go."""
        self._over = True
        self._thread.join(_END_SECONDS)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(_CLIENTS)))

    async def _client(self, number: int) -> None:
        session, chance = self._scene.workload.new_session("crowd"), random.Random(number)
        await asyncio.sleep(number * 0.02)
        async with await psycopg.AsyncConnection.connect(self._scene.stack.proxied_url, autocommit=True) as connection:
            self._there += 1
            while not self._over:
                item, begin = chance.choice(_ITEMS), now()
                rows = await (await connection.execute(tables.READ_ITEM, [item])).fetchall()
                values = tables.values_of([item], [(int(row[0]), int(row[1])) for row in rows])
                self._scene.workload.history.reads.append(Read(session, begin, now(), values))
                self.reads += 1
                await asyncio.sleep(chance.uniform(0.5, 1.5) * _PAUSE_SECONDS)
