"""The way between two parts is cut, or silent, or slow, while both go on."""

from tests.chaos.fault import PAUSE_SECONDS, Fault, Scene, wait_services
from tests.chaos.network import Link
from tests.chaos.workload import Load

_SLOW_SECONDS = 0.15  # in each direction: much longer than an eviction takes, so that answers arrive after it
_SLOW_FOR_SECONDS = 6.0


class _Way(Fault):
    def __init__(self, way: str) -> None:
        self._way = way
        self._from, _, self._to = way.partition("-")

    def damage(self, link: Link) -> None:
        """Do it."""
        raise NotImplementedError

    def strike(self, scene: Scene) -> None:
        """Damage the way for a while."""
        link = scene.stack.links[self._way]
        scene.strike()
        self.damage(link)
        try:
            scene.let_pass(self.seconds)
        finally:
            link.mend()
        scene.mend()
        wait_services(scene.stack)

    seconds = PAUSE_SECONDS


class Stalled(_Way):
    """Nothing arrives, and nobody is told."""

    expected = "freshness ages, reads go to Postgres within the bound"

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.name = f"way from {self._from} to {self._to} stalled"

    def damage(self, link: Link) -> None:
        """Stall it."""
        link.stall()


class Cut(_Way):
    """Connections are reset, and new ones refused."""

    expected = "the same, and everything connects again"

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.name = f"way from {self._from} to {self._to} cut"

    def damage(self, link: Link) -> None:
        """Cut it."""
        link.cut()


class Slow(_Way):
    """Everything takes long."""

    expected = "answers that an eviction has overtaken are not kept"
    load = Load(readers=12, direct=4)
    seconds = _SLOW_FOR_SECONDS

    def __init__(self, way: str) -> None:
        super().__init__(way)
        self.name = f"way from {self._from} to {self._to} slow"

    def damage(self, link: Link) -> None:
        """Slow it."""
        link.slow(_SLOW_SECONDS)
