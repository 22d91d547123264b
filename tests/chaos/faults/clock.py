"""The wall clock jumps. Nothing that is decided may rest on it: only CLOCK_BOOTTIME of one host is read.

The machine's own clock is everybody's, so it is ours that jump: `tests.chaos.broken` gives each service a wall clock
that is an hour ahead and an hour behind in turn. What reads it at all is listed in `tests/unit/test_wall_clock.py`.
"""

from dataclasses import replace

from tests.chaos.fault import Scene
from tests.chaos.faults.nothing import Nothing
from tests.chaos.faults.processes import Killed
from tests.chaos.stack import Plan

_JUMPING = dict.fromkeys(("proxy", "cdc", "invalidator"), "wall_clock_jumps")
_SECONDS = 8.0


class WallClockJumps(Nothing):
    """Only that."""

    name = "wall clock of every service an hour ahead and behind, by turns of a second"
    expected = "nothing comes of it"
    plan = replace(Plan(), kafka=False, faults=_JUMPING)

    def strike(self, scene: Scene) -> None:
        """Let the load go on; the cache serves as ever."""
        scene.strike()
        scene.let_pass(_SECONDS)
        scene.mend()
        share = scene.share(scene.struck_at, scene.mended_at)
        scene.remarks.append(f"hit ratio {share.hit_ratio:.0%}")
        assert share.hit_ratio > 0.5


def killed_meanwhile() -> Killed:
    """Return the death of a service that wakes in another hour."""
    fault = Killed("cdc", kafka=False)
    fault.name = f"{fault.name}, the wall clock jumps"
    fault.plan = WallClockJumps.plan
    return fault
