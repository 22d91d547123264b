"""Nothing is done; and a CDC service that is away for a while, which nobody should fail to notice."""

from tests.chaos.fault import Fault, Scene, wait_services

_SECONDS = 4.0


class Nothing(Fault):
    """Only the load: what a broken cache does wrong without any fault."""

    name = "nothing"
    expected = "the contract"

    def strike(self, scene: Scene) -> None:
        """Let the load go on."""
        scene.strike()
        scene.let_pass(_SECONDS)
        scene.mend()


class CdcAway(Fault):
    """The CDC service is dead for some seconds."""

    name = "cdc dead for some seconds"
    expected = "reads are forwarded within the bound; nothing is lost"

    def strike(self, scene: Scene) -> None:
        """Kill it, wait, start it again."""
        cdc = scene.stack.services["cdc"]
        scene.strike()
        cdc.kill()
        scene.let_pass(_SECONDS)
        cdc.start()
        scene.mend()
        wait_services(scene.stack)
