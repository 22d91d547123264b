"""The refill race: a standby is awaited, so that commits are decoded before they are visible, all the time.

Whoever evicts on the event has the entry read again before the commit can be seen, and keeps the old row for ever. A
lease, which refuses an answer that an eviction has overtaken, does not help: the eviction came before the question.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace

import psycopg

from tests.chaos import tables
from tests.chaos.audit import lost_evictions
from tests.chaos.fault import Fault, Scene
from tests.chaos.history import Trouble, now
from tests.chaos.stack import Plan, Standby
from tests.chaos.workload import Load

_KEYS = tables.ITEMS[:40]
_WRITERS = 4
_PASSES = 2  # over its keys, for each writer in a round
_STANDBY_SECONDS = 0.04  # that the standby's answer takes longer, in each direction: one in another country
_END_SECONDS = 60.0


class RefillRace(Fault):
    """Rounds of writes that wait for a standby, with readers on the same rows; after each, everything is compared."""

    name = "refill race: every commit waits for a synchronous standby"
    expected = "a commit evicts when it is visible: no entry stays stale"
    plan = replace(Plan(), kafka=False, standby=Standby.AWAITED)
    load = Load(readers=6, direct=0, proxied=0, read_pause_seconds=0.001, reads=_KEYS)

    def __init__(self, rounds: int = 20) -> None:
        self._rounds = rounds

    def strike(self, scene: Scene) -> None:
        """Play the rounds."""
        scene.strike()
        link = scene.stack.links["standby-primary"]
        link.slow(_STANDBY_SECONDS)
        try:
            for _ in range(self._rounds):
                _write_all(scene)
                scene.let_pass(scene.stack.max_staleness)
                scene.lost += lost_evictions(scene.stack, scene.workload, _KEYS)
        finally:
            link.mend()
        scene.mend()
        scene.remarks.append(f"{len(scene.lost)} of {self._rounds * len(_KEYS)} entries stale in silence")


def _write_all(scene: Scene) -> None:
    """Have the writers write every key, each its own share."""

    def write(keys: Sequence[int]) -> None:
        session = scene.workload.new_session("refill")
        try:
            with psycopg.connect(scene.stack.direct_url, autocommit=True) as connection:
                for item in [*keys] * _PASSES:
                    scene.workload.set_items(connection, [item], session)
        except psycopg.Error as error:
            scene.workload.history.troubles.append(Trouble(now(), session, f"{error.sqlstate}: {error}"))

    writers = [threading.Thread(target=write, args=[_KEYS[n::_WRITERS]], daemon=True) for n in range(_WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(_END_SECONDS)
