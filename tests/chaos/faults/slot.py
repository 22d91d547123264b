"""The replication slot is dropped, advanced or made again, by hand, while nobody reads it and clients write."""

from collections.abc import Callable

from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import now
from tests.chaos.stack import SLOT
from tests.servers.processes import wait_until

_DOWN_SECONDS = 1.5  # with writes, so that something is missed

_FREE = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{SLOT}' AND NOT active"
_DROP = f"SELECT pg_drop_replication_slot('{SLOT}')"
_ADVANCE = f"SELECT pg_replication_slot_advance('{SLOT}', pg_current_wal_insert_lsn())"
_CREATE = f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"
_ENDS_READER = f"""
    SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
    WHERE slot_name = '{SLOT}' AND active_pid IS NOT NULL
"""


class SlotTampered(Fault):
    """Something is done to the slot while the CDC service is dead: changes are skipped that it never sees."""

    expected = "RESUME lies beyond what is settled, or the slot is new: a new epoch, the cache begins cold"

    def __init__(self, what: str, *statements: str) -> None:
        self.name = f"slot {what} while cdc is dead"
        self._statements = statements

    def strike(self, scene: Scene) -> None:
        """Kill the service, let clients write, tamper, start it again."""
        scene.strike()
        instances = [service for name, service in scene.stack.services.items() if name.startswith("cdc")]
        for cdc in instances:
            cdc.kill()
        postgres = scene.stack.postgres
        wait_until(lambda: postgres.execute(_FREE), "the slot to be free")
        scene.let_pass(_DOWN_SECONDS)
        for statement in self._statements:
            postgres.execute(statement)
        scene.let_pass(0.2)
        epochs = _bucket_epochs(scene)
        for cdc in instances:
            cdc.start()
        scene.mend()
        _wait_new_epoch(scene, epochs)


class SlotDroppedInUse(Fault):
    """The slot's reader is ended and the slot dropped before it is back."""

    name = "slot dropped under cdc"
    expected = "the service makes another: a new epoch"

    def strike(self, scene: Scene) -> None:
        """Keep at it until the slot is gone: the service comes back within a tenth of a second."""
        scene.strike()
        epochs = _bucket_epochs(scene)
        wait_until(lambda: _dropped(scene), "the slot to be dropped")
        scene.mend()
        _wait_new_epoch(scene, epochs)


def _dropped(scene: Scene) -> bool:
    statement = f"""
        WITH ended AS MATERIALIZED ({_ENDS_READER})
        SELECT count(*) FROM ended
    """
    postgres = scene.stack.postgres
    postgres.execute(statement)
    if not postgres.execute(_FREE):
        return False
    postgres.execute(_DROP)
    return True


def _bucket_epochs(scene: Scene) -> float:
    return scene.stack.services["invalidator"].metric("tidegate_invalidator_epochs_total")


def _wait_new_epoch(scene: Scene, before: float) -> None:
    """Wait until the bucket has begun another epoch, and note how long that took."""
    wait_until(lambda: _bucket_epochs(scene) > before, "a new epoch", 30)
    scene.remarks.append(f"new epoch after {now() - scene.mended_at:.1f} s")
    wait_services(scene.stack)


def slot_advanced() -> Fault:
    """Return pg_replication_slot_advance, by hand."""
    return SlotTampered("advanced", _ADVANCE)


FAULTS: list[Callable[[], Fault]] = [
    lambda: SlotTampered("dropped", _DROP),
    slot_advanced,
    lambda: SlotTampered("made again by hand", _DROP, _CREATE),
    SlotDroppedInUse,
]
