"""pg_recvlogical: the peer of whatever reads a replication slot. It writes what it reads to /dev/null."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from services.shared.lsn import Lsn, format_lsn
from tests.servers.postgres import PostgresServer
from tests.servers.processes import ServerError

_LONGEST_SECONDS = 300.0


def receive(server: PostgresServer, slot: str, publication: str, until: Lsn) -> float:
    """Read a slot up to an LSN, and return how many seconds that took, with starting and connecting.

    Raises:
        ServerError: It failed.
    """
    own = server.programs / "pg_recvlogical"
    command = [
        str(own if own.exists() else Path("/usr/bin/pg_recvlogical")), "--dbname", server.url(), "--slot", slot,
        "--start", "--no-loop", "--file", "/dev/null", "--endpos", format_lsn(until),
        "--option", "proto_version=4", "--option", f"publication_names={publication}",
        "--option", "messages=true", "--option", "streaming=on",
    ]  # fmt: skip
    began = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS)
    seconds = time.perf_counter() - began
    if run.returncode != 0:
        raise ServerError(f"pg_recvlogical failed: {run.stderr[-2000:]}")
    return seconds


@contextlib.contextmanager
def copied_slot(server: PostgresServer, slot: str) -> Iterator[str]:
    """Make a slot that stands where another one stands, and drop it afterwards."""
    copy = f"{slot}_copy"
    server.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", [slot, copy])
    try:
        yield copy
    finally:
        server.execute("SELECT pg_drop_replication_slot(%s)", [copy])
