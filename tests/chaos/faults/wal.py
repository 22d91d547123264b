"""The CDC service is dead while the application goes on writing: the disk of the primary must not fill."""

from dataclasses import replace

from tests.chaos.fault import Fault, Scene
from tests.chaos.history import now
from tests.chaos.stack import SLOT, Plan
from tests.servers.processes import wait_until

_MEBIBYTE = 1024**2
_LIMIT_BYTES = 64 * _MEBIBYTE
_MAX_WAL_BYTES = 64 * _MEBIBYTE
_LOOK_SECONDS = 3.0  # a tenth of the patience, which is how often the proxy looks
_RATE_BYTES = 16 * _MEBIBYTE  # a second, about
_BOUND_BYTES = _LIMIT_BYTES + 3 * _MAX_WAL_BYTES + 2 * _LOOK_SECONDS * _RATE_BYTES
_AFTER_BYTES = 10 * _MAX_WAL_BYTES  # written once the slot is gone, and not kept

_WRITE = "SELECT pg_logical_emit_message(false, 'application', repeat('x', 1000000)) FROM generate_series(1, 2)"
_SIZE = "SELECT sum(size)::int8 FROM pg_ls_waldir()"
_SLOTS = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{SLOT}'"


class WalFilled(Fault):
    """The application writes far more than the slot may keep back."""

    name = "cdc dead while the application fills the WAL"
    expected = "the slot is given up, pg_wal stays bounded; the service begins a new epoch when it is back"
    plan = replace(
        Plan(),
        settings={"slot_limit": f"{_LIMIT_BYTES // _MEBIBYTE}MiB", "slot_patience": f"{10 * _LOOK_SECONDS:g}s"},
        postgres={"max_wal_size": f"{_MAX_WAL_BYTES // _MEBIBYTE}MB", "min_wal_size": "32MB"},
    )

    def strike(self, scene: Scene) -> None:
        """Kill the service, write until the slot is given up, go on writing, start it again."""
        cdc = scene.stack.services["cdc"]
        postgres = scene.stack.postgres
        scene.strike()
        cdc.kill()
        written, peak, gone_after = 0, 0, 0.0
        with postgres.connect() as connection:
            while not gone_after or written < _AFTER_BYTES:
                connection.execute(_WRITE)
                written += 2 * _MEBIBYTE
                ((size,),) = connection.execute(_SIZE).fetchall()
                peak = max(peak, size)
                if not gone_after and not connection.execute(_SLOTS).fetchall():
                    gone_after, written = now() - scene.struck_at, 0
                assert now() - scene.struck_at < 120, "the slot is not given up"
                scene.let_pass(2 * _MEBIBYTE / _RATE_BYTES if not gone_after else 0.02)
        assert peak < _BOUND_BYTES, f"pg_wal took {peak / _MEBIBYTE:.0f} MiB"
        scene.remarks.append(f"slot given up after {gone_after:.1f} s, pg_wal at most {peak / _MEBIBYTE:.0f} MiB")
        cdc.start()
        scene.mend()
        wait_until(scene.stack.followed_by, "changes to be followed", 30)
