"""Real Postgres servers of every major version from 14 to 18, each with a data directory and a port of its own.

    with PostgresServer("18", max_slot_wal_keep_size="64MB") as server:
        server.execute("CREATE TABLE t (id int PRIMARY KEY)")
        psycopg.connect(server.url())

`wal_level` is logical; what only costs time in a test (fsync, full-page writes) is off. The superuser is `postgres`;
everybody on the loopback is trusted until `allow` says otherwise.
"""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from tests.servers.postgres_programs import NEWEST, programs_of
from tests.servers.processes import (
    ManagedProcess,
    ServerDirectory,
    ServerError,
    free_port,
    logged,
    unprivileged_account,
    wait_until,
)

SUPERUSER = "postgres"

_SETTINGS: dict[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_prepared_transactions": "10",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
}
_START_SECONDS = 30.0
_DESTROY_SECONDS = 5.0
_PORT_ATTEMPTS = 5


class PostgresServer:
    """One Postgres server.

    Args:
        version: Major version.
        settings: Server settings, over the defaults above (underscores as in Postgres; values as text or number).

    Attributes:
        directory: Data directory, unix socket and log live in it.
        port: Its TCP port on 127.0.0.1, and the number in its unix socket's name. Kept over restarts.
        programs: Directory with `postgres`, `initdb` and, in most versions, the client programs.
    """

    def __init__(self, version: str = NEWEST, **settings: str | int) -> None:
        self.version = version
        self.settings = _SETTINGS | {name: str(value) for name, value in settings.items()}
        self.programs = programs_of(version)
        self.port = 0
        self._account = unprivileged_account()
        self._directory = ServerDirectory(f"pg{version}", self._account)
        self._process: ManagedProcess | None = None

    def __enter__(self) -> "PostgresServer":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.destroy()

    @property
    def directory(self) -> Path:
        return self._directory.path

    @property
    def data_directory(self) -> Path:
        """PGDATA."""
        return self.directory / "data"

    @property
    def process(self) -> ManagedProcess:
        """The postmaster.

        Raises:
            ServerError: The server has not been started.
        """
        if self._process is None:
            raise ServerError(f"Postgres {self.version} has not been started")
        return self._process

    def start(self) -> "PostgresServer":
        """Start it (making its data directory the first time) and wait until it answers.

        Raises:
            ServerError: It does not come up; the message holds its log.
        """
        if not self.data_directory.exists():
            self._make_data_directory()
        for _ in range(_PORT_ATTEMPTS):
            self.port = self.port or free_port()
            if self._try_start():
                return self
            self.port = 0
        raise ServerError(f"Postgres {self.version} found no free port in {_PORT_ATTEMPTS} attempts")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut it down: SIGINT fast, SIGTERM smart, SIGQUIT immediate (the next start recovers from a crash)."""
        self.process.stop(how, timeout_seconds=_START_SECONDS)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop and start on the same port."""
        self.stop(how)
        self.start()

    def kill(self) -> None:
        """SIGKILL for the postmaster and every backend; `start` recovers."""
        self.process.kill()

    def pause(self) -> None:
        """Freeze it and all its backends (SIGSTOP)."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self.process.resume()

    def destroy(self) -> None:
        """End it however it is, and delete its directory.

        Not by SIGKILL, if that can be helped: it leaves a System V shared memory segment behind each time, of which the
        kernel has 4096.
        """
        if self._process is not None and self._process.running:
            with contextlib.suppress(ServerError):  # it is killed then
                self._process.stop(signal.SIGQUIT, timeout_seconds=_DESTROY_SECONDS)
        self._directory.remove()

    def url(
        self, database: str = SUPERUSER, user: str = SUPERUSER, password: str | None = None, unix_socket: bool = False
    ) -> str:
        """Return a `postgresql://` URL of a database on it."""
        credentials = quote(user, safe="") + ("" if password is None else f":{quote(password, safe='')}")
        if unix_socket:
            return f"postgresql://{credentials}@/{quote(database)}?host={self.directory}&port={self.port}"
        return f"postgresql://{credentials}@127.0.0.1:{self.port}/{quote(database)}"

    def connect(self, database: str = SUPERUSER, user: str = SUPERUSER) -> "psycopg.Connection[tuple[Any, ...]]":
        """Open a connection in autocommit; the caller closes it (`with server.connect() as connection`)."""
        return psycopg.connect(self.url(database, user), autocommit=True)

    def execute(self, sql: str, parameters: Sequence[Any] | None = None, *, database: str = SUPERUSER) -> list[Any]:
        """Run a statement (or several, without parameters) as the superuser, and return the last one's rows."""
        with self.connect(database) as connection:
            cursor = connection.execute(sql, parameters)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def allow(self, *lines: str) -> None:
        """Replace `pg_hba.conf` by these lines, after one that lets the superuser in by the unix socket, and reload."""
        hba = self.data_directory / "pg_hba.conf"
        hba.write_text("\n".join([f"local all {SUPERUSER} trust", *lines, ""]), encoding="utf-8")
        socket_url = self.url(unix_socket=True)
        with psycopg.connect(socket_url, autocommit=True) as connection:
            broken = connection.execute("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL")
            if found := broken.fetchall():
                raise ServerError(f"pg_hba.conf would be wrong: {found}")
            asked_at = connection.execute("SELECT clock_timestamp(), pg_reload_conf()").fetchone()

        def reloaded() -> bool:
            # A new backend inherits the postmaster's time of loading.
            with psycopg.connect(socket_url) as fresh:
                row = fresh.execute("SELECT pg_conf_load_time() >= %s", asked_at[:1] if asked_at else None).fetchone()
            return row == (True,)

        wait_until(reloaded, "pg_hba.conf to be read")

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Make a database, give its name, and drop it with its slots and connections afterwards."""
        self.execute(f'CREATE DATABASE "{name}"')
        try:
            yield name
        finally:
            self.drop_database(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with whatever holds on to it: connections, replication slots."""
        self.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = %s", [name])
        idle = "SELECT slot_name FROM pg_replication_slots WHERE database = %s AND active"
        wait_until(lambda: not self.execute(idle, [name]), f"the slots of {name} to be free")
        self.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name])
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def log(self) -> str:
        """Everything in its log so far."""
        return self.process.log()

    def _make_data_directory(self) -> None:
        command: list[str | Path] = [
            self.programs / "initdb", "--pgdata", self.data_directory, "--username", SUPERUSER, "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
        ]  # fmt: skip
        who = self._account
        made = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            user=None if who is None else who.uid,
            group=None if who is None else who.gid,
            extra_groups=None if who is None else [],
        )
        if made.returncode:
            raise ServerError(f"initdb of Postgres {self.version} failed:\n{made.stdout}{made.stderr}")

    def _try_start(self) -> bool:
        """Return False when somebody else has the port."""
        arguments = [f"--{name}={value}" for name, value in self.settings.items()]
        logged_before = logged(self.directory / "log")
        self._process = process = ManagedProcess(
            f"Postgres {self.version}",
            [
                self.programs / "postgres", "-D", self.data_directory, "-p", str(self.port), "-k", self.directory,
                *arguments,
            ],
            log_path=self.directory / "log",
            cwd=self.directory,
            account=self._account,
        )  # fmt: skip
        wait_until(lambda: self._answers() or not process.running, f"Postgres {self.version}", _START_SECONDS)
        if process.running:
            return True
        log = process.log()[len(logged_before) :]
        if "could not bind" in log:
            return False
        raise ServerError(f"Postgres {self.version} does not start:\n{log}")

    def _answers(self) -> bool:
        """Whether it is this server that answers on the port, and not a stranger."""
        try:
            with psycopg.connect(self.url(), connect_timeout=5) as connection:
                row = connection.execute("SHOW data_directory").fetchone()
        except psycopg.OperationalError:
            return False
        return row == (str(self.data_directory),)
