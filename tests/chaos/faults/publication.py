"""The publication is altered by hand under load: changes of a table are not sent any more, then they are again."""

from dataclasses import replace

from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.stack import CACHE, Plan

_WITHOUT_SECONDS = 3.0
_PUBLICATION = f"tidegate_{CACHE}"


class TableTakenOut(Fault):
    """A table leaves the publication, and comes back some seconds later."""

    name = "table taken out of the publication, and put back"
    expected = "answers from it are not served within the bound; those from before do not come back"
    plan = replace(Plan(), kafka=False)

    def strike(self, scene: Scene) -> None:
        """Take it out while everybody writes, put it back."""
        postgres = scene.stack.postgres
        scene.strike()
        postgres.execute(f"ALTER PUBLICATION {_PUBLICATION} DROP TABLE items")
        scene.let_pass(_WITHOUT_SECONDS)
        postgres.execute(f"ALTER PUBLICATION {_PUBLICATION} ADD TABLE items")
        scene.mend()
        wait_services(scene.stack)


class PublicationNarrowed(Fault):
    """The publication leaves updates out for some seconds."""

    name = "publication without updates for some seconds"
    expected = "the same for all of its tables"
    plan = replace(Plan(), kafka=False)

    def strike(self, scene: Scene) -> None:
        """Narrow it, and widen it again."""
        postgres = scene.stack.postgres
        scene.strike()
        postgres.execute(f"ALTER PUBLICATION {_PUBLICATION} SET (publish = 'insert, delete, truncate')")
        scene.let_pass(_WITHOUT_SECONDS)
        postgres.execute(f"ALTER PUBLICATION {_PUBLICATION} SET (publish = 'insert, update, delete, truncate')")
        scene.mend()
        wait_services(scene.stack)
