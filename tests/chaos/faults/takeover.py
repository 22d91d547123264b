"""Two CDC services, one of which stands by: the active one dies, or freezes and comes back as a zombie."""

from dataclasses import replace

from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import now
from tests.chaos.service import Service
from tests.chaos.stack import Plan
from tests.servers.processes import wait_until

_TAKE_OVER_SECONDS = 20.0  # loosely: the target is 3 s, and the figure is in the table
_WATERMARKS = "tidegate_cdc_watermarks_total"


class _TakeOver(Fault):
    plan = replace(Plan(), cdc_count=2)


class ActiveKilled(_TakeOver):
    """The active one is killed under load."""

    name = "active of two cdc killed -9"
    expected = "the other one takes over in less than 3 s, nothing is lost"

    def strike(self, scene: Scene) -> None:
        """Kill it, time the other one, and have it back as the one that stands by."""
        active, other = _roles(scene)
        scene.strike()
        active.kill()
        scene.mend()
        _wait_taken_over(scene, other, "from the kill")
        active.start()


class ActiveStopped(_TakeOver):
    """The active one freezes for so long that Postgres gives its connection up, and wakes as a zombie."""

    name = "active of two cdc stopped until the other has taken over, then continued"
    expected = "reads are forwarded until wal_sender_timeout (here 5 s) frees the slot; the zombie does no harm"

    def strike(self, scene: Scene) -> None:
        """Freeze it, time the other one, wake it up."""
        active, other = _roles(scene)
        scene.strike()
        active.pause()
        try:
            scene.wait_bypass()
            scene.remarks.append(f"bypass {now() - scene.struck_at:.1f} s after the stop at the latest")
            _wait_taken_over(scene, other, "from the stop")
        finally:
            active.resume()
        scene.mend()


class ActiveStoppedShortly(_TakeOver):
    """The active one freezes for less than Postgres's patience."""

    name = "active of two cdc stopped for 3 s"
    expected = "its slot stays taken: reads are forwarded until it is continued, nobody takes over"

    def strike(self, scene: Scene) -> None:
        """Freeze it until reads are forwarded and a little longer."""
        active, other = _roles(scene)
        before = other.metric(_WATERMARKS)
        scene.strike()
        active.pause()
        try:
            scene.wait_bypass()
            scene.let_pass(max(0.0, scene.struck_at + 3.0 - now()))
        finally:
            active.resume()
        scene.mend()
        wait_services(scene.stack)
        assert other.metric(_WATERMARKS) == before


def _roles(scene: Scene) -> tuple[Service, Service]:
    """Return the active one and the one that stands by."""
    services = scene.stack.services
    wait_until(lambda: services["cdc2"].metrics() and services["cdc"].metrics(), "both to run", 20)
    active = wait_until(scene.stack.followed_by, "changes to be followed", 20)
    return services[active], services["cdc2" if active == "cdc" else "cdc"]


def _wait_taken_over(scene: Scene, other: Service, since: str) -> None:
    """Wait for the first watermark of the other one, and note how long it took."""
    before = other.metric(_WATERMARKS)
    wait_until(lambda: other.metric(_WATERMARKS) > before, "the other one to take over", _TAKE_OVER_SECONDS)
    scene.remarks.append(f"first watermark of the other {now() - scene.struck_at:.2f} s {since}")
