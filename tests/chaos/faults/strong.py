"""Readers at the level `strong`: their answers have to be current at some instant of the call, whatever dies."""

import random
import threading
from dataclasses import replace

import psycopg

from tests.chaos import tables
from tests.chaos.checker import check
from tests.chaos.fault import Fault, Scene, kill_and_start, wait_services
from tests.chaos.history import History
from tests.chaos.stack import Plan

_READERS = 3
_PAUSE_SECONDS = 0.002
_SECONDS = 4.0
_END_SECONDS = 20.0
_ITEMS = tables.ITEMS[:16]
_OPTIONS = "-c tidegate.consistency=strong"


class StrongReads(Fault):
    """Strong readers beside the others, while the CDC service and then the invalidator dies."""

    name = "cdc, then the invalidator killed -9, under strong reads"
    expected = "a strong read is never out of date at all: it waits for its proof, or goes to Postgres"
    plan = replace(Plan(), kafka=False)

    def __init__(self) -> None:
        self._history = History()

    def strike(self, scene: Scene) -> None:
        """Let them read, kill, let them read, and let them read again."""
        stop, self._history = threading.Event(), History()
        history = self._history

        def read(number: int) -> None:
            session, chance = scene.workload.new_session("strong"), random.Random(number)
            url = scene.stack.proxied_url
            with psycopg.connect(url, autocommit=True, options=_OPTIONS) as connection:
                while not stop.wait(_PAUSE_SECONDS):
                    item = chance.choice(_ITEMS)
                    scene.workload.read(connection, tables.READ_ITEM, item, session, into=history)

        readers = [threading.Thread(target=read, args=[number], daemon=True) for number in range(_READERS)]
        scene.strike()
        for reader in readers:
            reader.start()
        for part in ("cdc", "invalidator"):
            scene.let_pass(_SECONDS)
            kill_and_start(scene, part)
            wait_services(scene.stack)
        scene.let_pass(_SECONDS)
        stop.set()
        for reader in readers:
            reader.join(_END_SECONDS)
        scene.mend()
        wait_services(scene.stack)

    def check(self, scene: Scene) -> None:
        """Judge them now that the writers have ended, and everything that they may have seen is in the history."""
        verdict = check(History(scene.workload.history.writes, self._history.reads), 0.0)
        scene.reads += verdict.reads
        scene.violations += [f"strong: {violation}" for violation in verdict.violations]
        scene.remarks.append(f"{verdict.reads:,} strong reads")
