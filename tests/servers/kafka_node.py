"""One process of Apache Kafka, broker or controller or both, from the jars of Maven Central.

The jars are fetched once into `.cache/kafka` of the checkout. A broker takes about four seconds to start.
"""

import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.servers.debian import debian_program
from tests.servers.processes import ManagedProcess, ServerError, wait_until
from tests.servers.toolchains import CACHE, maven_jars

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_START_SECONDS = 90.0  # four on an idle machine
_STOP_SECONDS = 30.0
_STARTED = "Kafka Server started"
_JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # a short life: starting fast matters more than running fast
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # says when it has started
)


class KafkaNode:
    """A process with its configuration, in a folder that is kept over restarts.

    Args:
        name: How to call it.
        folder: Where its configuration and its log are.
        heap_mebibytes: What its heap may take.
    """

    def __init__(self, name: str, folder: Path, heap_mebibytes: int = 384) -> None:
        self.name = name
        self._folder = folder
        self._heap = f"-Xmx{heap_mebibytes}m"
        self._process: ManagedProcess | None = None

    @property
    def configuration(self) -> Path:
        """Its `server.properties`."""
        return self._folder / f"{self.name}.properties"

    @property
    def process(self) -> ManagedProcess:
        """Its process.

        Raises:
            ServerError: It has not been started.
        """
        if self._process is None:
            raise ServerError(f"{self.name} has not been started")
        return self._process

    def configure(self, properties: Mapping[str, str]) -> None:
        """Write its configuration."""
        self.configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))

    def launch(self) -> None:
        """Start it; `wait_started` tells when it serves."""
        argv: list[str | Path] = [java(), self._heap, *_JAVA_OPTIONS, "-cp", f"{jars()}/*", "kafka.Kafka"]
        log = self._folder / f"{self.name}.log"
        self._process = ManagedProcess(self.name, [*argv, self.configuration], log, cwd=self._folder)
        self._started_before = self._process.log().count(_STARTED)

    def wait_started(self) -> bool:
        """Wait until it serves; return False when somebody else has a port.

        Raises:
            ServerError: It does not come up; the message says why.
        """
        process = self.process
        wait_until(
            lambda: process.log().count(_STARTED) > self._started_before or not process.running,
            self.name,
            _START_SECONDS,
        )
        if process.running:
            return True
        if "Address already in use" in process.log():
            return False
        raise ServerError(f"{self.name} does not start:\n{process.log()[-4000:]}")

    def start(self) -> "KafkaNode":
        """Start it again where it was, and wait until it serves.

        Raises:
            ServerError: It does not come up.
        """
        self.launch()
        if not self.wait_started():
            raise ServerError(f"somebody has taken a port of {self.name}")
        return self

    def stop(self) -> None:
        """Shut it down in order."""
        self.process.stop(signal.SIGTERM, _STOP_SECONDS)

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
        """End it however it is."""
        if self._process is not None and self._process.running:
            self._process.kill()


def run_java(main: str, *arguments: str) -> str:
    """Run one of Kafka's tools, and return what it says.

    Raises:
        ServerError: It fails; the message holds what it says.
    """
    argv = [java(), "-Xmx384m", *_JAVA_OPTIONS, "-cp", f"{jars()}/*", main, *arguments]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_START_SECONDS)
    if ran.returncode != 0:
        raise ServerError(f"{main} failed:\n{(ran.stdout + ran.stderr)[-4000:]}")
    return ran.stdout


def jars() -> Path:
    """Return the directory of the jars, which Maven fetches when the pom is new."""
    return maven_jars(_POM, CACHE / "kafka" / "jars")


def java() -> str:
    """Return the program."""
    return debian_program("java", "openjdk-17-jre-headless")
