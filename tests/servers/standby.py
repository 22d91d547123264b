"""A real standby of a `PostgresServer`: a copy of its data directory, taken while it runs, that follows its WAL.

    with PostgresServer("17") as primary, standby_of(primary) as standby:
        primary.kill()
        standby.execute("SELECT pg_promote()")

Without pg_basebackup, which not every version here comes with.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.processes import ServerError, wait_until

SLOT = "standby"
"""The physical slot that the standby reads."""

_NOT_COPIED = ("postmaster.pid", "pg_replslot", "pg_wal", "pg_stat_tmp", "pg_dynshmem", "pg_notify", "pg_subtrans")
_RENAMED_IN = 15  # pg_start_backup became pg_backup_start


def standby_of(primary: PostgresServer, **settings: str | int) -> PostgresServer:
    """Return a standby that has not been started yet.

    Args:
        primary: A running server.
        settings: Further settings of the standby.
    """
    source = f"host=127.0.0.1 port={primary.port} user={SUPERUSER} dbname={SUPERUSER}"
    standby = PostgresServer(
        primary.version,
        **(primary.settings | {"primary_conninfo": source, "primary_slot_name": SLOT, "hot_standby_feedback": "on"})
        | settings,
    )
    primary.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
    new = int(primary.version) >= _RENAMED_IN
    start, stop = ("pg_backup_start", "pg_backup_stop()") if new else ("pg_start_backup", "pg_stop_backup(false)")
    with primary.connect() as connection:  # the backup ends with its session
        connection.execute(f"SELECT {start}('standby', true{'' if new else ', false'})".encode())
        copy_data_directory(primary.data_directory, standby.data_directory)
        row = connection.execute(f"SELECT labelfile FROM {stop}".encode()).fetchone()
    assert row is not None
    for name in _NOT_COPIED:
        _empty(standby.data_directory / name)
    _write(standby.data_directory / "backup_label", row[0])
    _write(standby.data_directory / "standby.signal", "")
    return standby


def copy_data_directory(source: Path, target: Path) -> None:
    """Copy a data directory with its owners; of a server that runs, only between start and end of a backup.

    Raises:
        ServerError: It is not there then. (That a file vanishes under the copy is normal while a server runs.)
    """
    copied = subprocess.run(["cp", "-a", source, target], check=False, capture_output=True, text=True)
    if not (target / "global" / "pg_control").exists():
        raise ServerError(f"{source} could not be copied: {copied.stderr}")


def wait_replayed(primary: PostgresServer, standby: PostgresServer) -> None:
    """Wait until a standby has replayed everything that the primary has written by now."""
    ((lsn,),) = primary.execute("SELECT pg_current_wal_insert_lsn()::text")
    behind = f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"
    wait_until(lambda: standby.execute(behind) == [(True,)], "the standby to have replayed everything")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


def _empty(path: Path) -> None:
    if path.is_dir():
        for inside in path.iterdir():
            if inside.is_dir() and inside.name == "archive_status":
                continue
            shutil.rmtree(inside) if inside.is_dir() else inside.unlink()
    else:
        path.unlink(missing_ok=True)
