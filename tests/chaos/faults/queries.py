"""Queries that take long, while what they read is written: whoever joins one must not know better."""

import random
import threading
from dataclasses import replace

import psycopg

from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import Trouble, now
from tests.chaos.stack import Plan
from tests.chaos.workload import Load

_READ_SLOWLY = "SELECT id, version FROM items WHERE id = %s AND (SELECT count(*) FROM bulk a, bulk b) > 0"
_SECONDS = 6.0
_OUTSIDERS, _WRITERS = 2, 2
_ITEMS = tables.HOT_ITEMS[:2]
_END_SECONDS = 20.0


class SlowQueries(Fault):
    """Sessions write a row and read it by a statement that others have sent just before."""

    name = "queries of 0.1 s on rows that are written meanwhile"
    expected = "a session that has written joins no query that was sent before"
    plan = replace(Plan(), kafka=False)
    load = Load(readers=1, direct=0, proxied=0)

    def strike(self, scene: Scene) -> None:
        """Let both go on for a while."""
        stop = threading.Event()

        def client(number: int, *, writes: bool) -> None:
            session, chance = scene.workload.new_session("slow"), random.Random(number)
            try:
                with psycopg.connect(scene.stack.proxied_url, autocommit=True) as connection:
                    while not stop.is_set():
                        item = chance.choice(_ITEMS)
                        if writes:
                            scene.workload.set_items(connection, [item], session)
                        scene.workload.read(connection, _READ_SLOWLY, item, session)
            except psycopg.Error as error:
                scene.workload.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))

        threads = [
            threading.Thread(target=client, args=[number], kwargs={"writes": number < _WRITERS}, daemon=True)
            for number in range(_WRITERS + _OUTSIDERS)
        ]
        scene.strike()
        for thread in threads:
            thread.start()
        scene.let_pass(_SECONDS)
        stop.set()
        for thread in threads:
            thread.join(_END_SECONDS)
        scene.mend()
        joined = scene.stack.proxy.metric("tidegate_proxy_hits_joined_total")
        scene.remarks.append(f"{joined:.0f} joined")
        wait_services(scene.stack)
