"""PgBouncer as a peer: what forwarding through a proxy written in C costs on the same machine, in the same run."""

import os
import shutil
import subprocess
from pathlib import Path

from services.shared.runtime.upstream import Upstream
from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, free_port, unprivileged_account

_CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
auth_type = trust
auth_file = {directory}/users
pool_mode = session
max_client_conn = 1000
default_pool_size = 300
unix_socket_dir =
ignore_startup_parameters = extra_float_digits
logfile = {directory}/pgbouncer.log
"""


class PgBouncer:
    """One PgBouncer in session mode (its transaction mode of version 1.18 knows no prepared statements)."""

    def __init__(self, upstream: Upstream) -> None:
        """Start it in front of a Postgres.

        Raises:
            ServerError: It is not installed and cannot be, or does not start.
        """
        account = unprivileged_account()
        self._directory = ServerDirectory("pgbouncer", account)
        self.port = free_port()
        folder = self._directory.path
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(host=upstream.host, port=upstream.port, listen_port=self.port, directory=folder)
        )
        (folder / "users").write_text(f'"{upstream.user}" "{upstream.password or ""}"\n')
        self._process = ManagedProcess("pgbouncer", [_program(), configuration], folder / "output.log", account=account)
        self.url = Upstream("127.0.0.1", self.port, upstream.user, upstream.database, upstream.password).url

    @property
    def process_id(self) -> int:
        """Whose processor time is its."""
        return self._process.pid

    def stop(self) -> None:
        """End it and remove its files."""
        self._process.stop()
        self._directory.remove()


def _program() -> str:
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if found is None and os.geteuid() == 0 and Path("/usr/bin/apt-get").exists():
        subprocess.run(
            ["sh", "-c", "apt-get update -qq && apt-get install -y -qq pgbouncer"], check=False, capture_output=True
        )
        found = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if found is None:
        raise ServerError("pgbouncer is not installed: apt-get install pgbouncer")
    return found
