"""One part is killed, or stopped for a while, under a steady load."""

from dataclasses import replace

from tests.chaos.fault import Fault, Scene, kill_and_start, pause_and_resume, wait_services
from tests.chaos.stack import Plan

PARTS = ("proxy", "cdc", "invalidator", "redis", "kafka", "postgres")

CLIENTS_NOTICE = ("proxy", "postgres")
"""Whose death ends the clients' connections."""

REANNOUNCED_SECONDS = 30.0
"""What is followed has to be told again when Redis has lost it, which the CDC service does every ten seconds."""


class Killed(Fault):
    """SIGKILL, and started again at once."""

    expected = "what was in the part's memory is gone and nothing else; reads go to Postgres until it is back"

    def __init__(self, part: str, *, kafka: bool = True) -> None:
        self.part = part
        self.name = f"{part} killed -9"
        self.plan = replace(Plan(), kafka=kafka)
        self.clients_notice = part.rstrip("2") in CLIENTS_NOTICE
        if part == "redis" and kafka:
            self.recovery_seconds = REANNOUNCED_SECONDS

    def strike(self, scene: Scene) -> None:
        """Kill it and start it again."""
        kill_and_start(scene, self.part)
        scene.mend()
        wait_services(scene.stack)


class Stopped(Fault):
    """SIGSTOP for longer than the bound, then SIGCONT."""

    expected = "freshness ages, reads go to Postgres within the bound; the cache is warm afterwards"

    def __init__(self, part: str, *, kafka: bool = True) -> None:
        self.part = part
        self.name = f"{part} stopped"
        self.plan = replace(Plan(), kafka=kafka)

    def strike(self, scene: Scene) -> None:
        """Freeze it for a while."""
        pause_and_resume(scene, self.part)
        scene.mend()
        wait_services(scene.stack)
