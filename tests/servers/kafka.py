"""A real Apache Kafka broker (KRaft, one node that is broker and controller), from the jars of Maven Central.

with KafkaServer() as server:
    AIOKafkaProducer(bootstrap_servers=server.bootstrap)

`kafka_cluster.py` has several.
"""

import base64
import secrets
import shutil
from collections.abc import Iterator, Mapping

import pytest

from tests.servers.kafka_node import KafkaNode, run_java
from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, free_port

_PORT_ATTEMPTS = 5


class KafkaServer:
    """One broker, its data in a directory of its own and kept over restarts.

    Args:
        doors: Further listeners by name, each with the port that clients who come in there are told to come back to: a
            relay's, behind which `door_port` is; 0: its own.
        protocols: What is spoken at those of them that want more than PLAINTEXT.
        scram_users: Users of SCRAM-SHA-512, with their passwords.
        properties: Further ones of `server.properties`, which win.
    """

    def __init__(
        self,
        doors: Mapping[str, int] | None = None,
        protocols: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._doors = dict(doors or {})
        self._protocols = dict(protocols or {})
        self._scram_users = dict(scram_users or {})
        self._door_ports: dict[str, int] = {}
        self._properties = dict(properties or {})
        self._directory = ServerDirectory("kafka")
        self._ports = (0, 0)
        self._node = KafkaNode("kafka", self._directory.path)

    def __enter__(self) -> "KafkaServer":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.destroy()

    @property
    def bootstrap(self) -> str:
        """`host:port` of the broker; kept over restarts."""
        return f"127.0.0.1:{self._ports[0]}"

    def door_port(self, name: str) -> int:
        """Return the port of one of the further listeners; kept over restarts."""
        return self._door_ports[name]

    @property
    def process(self) -> ManagedProcess:
        """The broker's process.

        Raises:
            ServerError: It has not been started.
        """
        return self._node.process

    def start(self) -> "KafkaServer":
        """Start it and wait until it serves.

        Raises:
            ServerError: It cannot be had or does not come up; the message says why and what helps.
        """
        for _ in range(_PORT_ATTEMPTS):
            if not self._ports[0]:
                self._ports = (free_port(), free_port())
                self._door_ports = {name: free_port() for name in self._doors}
                self._format()
            self._node.launch()
            if self._node.wait_started():
                return self
            self._ports = (0, 0)
        raise ServerError(f"kafka found no free ports in {_PORT_ATTEMPTS} attempts")

    def stop(self) -> None:
        """Shut it down in order."""
        self._node.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._node.kill()

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        self._node.pause()

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._node.resume()

    def destroy(self) -> None:
        """End it however it is, and delete its data."""
        self._node.destroy()
        self._directory.remove()

    def console_consumer(self, topic: str, count: int) -> str:
        """Return what the stock console consumer shows of a topic's first records, with their keys.

        Raises:
            ServerError: It fails; the message holds what it says.
        """
        main = "org.apache.kafka.tools.consumer.ConsoleConsumer"
        arguments = ["--bootstrap-server", self.bootstrap, "--topic", topic, "--from-beginning"]
        limits = ["--max-messages", str(count), "--timeout-ms", "20000", "--property", "print.key=true"]
        return run_java(main, *arguments, *limits)

    def _format(self) -> None:
        """Write the configuration, and an empty log directory that belongs to it."""
        broker, controller = self._ports
        data = self._directory.path / "data"
        shutil.rmtree(data, ignore_errors=True)
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": _listeners({"PLAINTEXT": broker, "CONTROLLER": controller} | self._door_ports),
            "advertised.listeners": _listeners(
                {"PLAINTEXT": broker} | {name: port or self._door_ports[name] for name, port in self._doors.items()}
            ),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(
                f"{name}:{self._protocols.get(name, 'PLAINTEXT')}" for name in ("CONTROLLER", "PLAINTEXT", *self._doors)
            ),
            "log.dirs": str(data),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "2000",  # after a SIGKILL the next start waits this long for its predecessor
            "auto.create.topics.enable": "false",
        } | self._properties
        self._node.configure(properties)
        users = [
            argument
            for name, password in self._scram_users.items()
            for argument in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]
        common = ("-t", random_id(), "-c", str(self._node.configuration))
        run_java("kafka.tools.StorageTool", "format", "--standalone", *common, *users)


def random_id() -> str:
    """Return an id as Kafka makes them; it begins with no dash."""
    return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")


def _listeners(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """The session's Kafka broker: use topics of your own, and leave it running."""
    with KafkaServer() as server:
        yield server
