"""A cluster of Apache Kafka: three brokers and a controller beside them, so that all brokers can be away at once."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # as above

from tests.servers.kafka import random_id
from tests.servers.kafka_node import KafkaNode, run_java
from tests.servers.processes import ManagedProcess, ServerDirectory, ServerError, free_port, wait_until

T = TypeVar("T")
_BROKERS = 3
_CONTROLLER = 100
_HEAP_MEBIBYTES = 256
_PORT_ATTEMPTS = 5
_REPLY_MILLISECONDS = 1000
_ANSWER_SECONDS = 30.0


class KafkaCluster:
    """Three brokers that lose a peer from their in-sync replicas, and take over, within two seconds.

    Attributes:
        brokers: The brokers by their ids, from 1.
    """

    def __init__(self) -> None:
        self._directory = ServerDirectory("kafka-cluster")
        self._controller = KafkaNode("controller", self._directory.path, _HEAP_MEBIBYTES)
        self.brokers = {
            n: KafkaNode(f"broker-{n}", self._directory.path, _HEAP_MEBIBYTES) for n in range(1, _BROKERS + 1)
        }
        self._ports: dict[int, int] = {}

    def __enter__(self) -> "KafkaCluster":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.destroy()

    @property
    def bootstrap(self) -> str:
        """`host:port` of every broker, once they have been started; kept over restarts."""
        return ",".join(f"127.0.0.1:{self._ports.get(n, 0)}" for n in self.brokers)

    @property
    def processes(self) -> list[ManagedProcess]:
        """Every process."""
        return [node.process for node in (self._controller, *self.brokers.values())]

    def start(self) -> "KafkaCluster":
        """Start all of it, and wait until it serves.

        Raises:
            ServerError: It does not come up.
        """
        for _ in range(_PORT_ATTEMPTS):
            self._format()
            nodes = [self._controller, *self.brokers.values()]
            for node in nodes:
                node.launch()
            if all([node.wait_started() for node in nodes]):  # noqa: C419 - each of them is awaited
                return self
            for node in nodes:
                node.destroy()
        raise ServerError(f"kafka found no free ports in {_PORT_ATTEMPTS} attempts")

    def kill(self) -> None:
        """SIGKILL for every broker."""
        for broker in self.brokers.values():
            broker.kill()

    def pause(self) -> None:
        """Freeze every broker (SIGSTOP)."""
        for broker in self.brokers.values():
            broker.pause()

    def resume(self) -> None:
        """Let them go on (SIGCONT)."""
        for broker in self.brokers.values():
            broker.resume()

    def restart(self) -> None:
        """Start every broker that does not run."""
        ended = [broker for broker in self.brokers.values() if not broker.process.running]
        for broker in ended:
            broker.launch()
        for broker in ended:
            broker.wait_started()

    def destroy(self) -> None:
        """End everything, and delete the data."""
        for node in (*self.brokers.values(), self._controller):
            node.destroy()
        self._directory.remove()

    def partition(self, topic: str) -> tuple[int, list[int]]:
        """Return who leads the topic's first partition (-1: nobody), and who is in sync."""

        async def described(admin: AIOKafkaAdminClient) -> tuple[int, list[int]]:
            [found] = await admin.describe_topics([topic])
            partition = next(p for p in found["partitions"] if p["partition"] == 0)
            return int(partition["leader"]), list(partition["isr"])

        return self.administered(described)

    def administered(self, step: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        """Do something as an operator would: again, as long as it falls to a broker that is away.

        Raises:
            ServerError: No broker does it in time.
        """

        async def do() -> T:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=_REPLY_MILLISECONDS)
            try:
                await admin.start()
                return await step(admin)
            finally:
                await admin.close()

        def attempt() -> list[T]:
            try:
                return [asyncio.run(do())]
            except (KafkaError, TimeoutError):
                return []

        return wait_until(attempt, "a broker to do what it is told", _ANSWER_SECONDS)[0]

    def _format(self) -> None:
        """Write every configuration, and log directories without records."""
        self._ports = {n: free_port() for n in (_CONTROLLER, *self.brokers)}
        cluster = random_id()
        self._controller.configure(
            self._common(_CONTROLLER)
            | {
                "process.roles": "controller",
                "listeners": f"CONTROLLER://127.0.0.1:{self._ports[_CONTROLLER]}",
                "broker.session.timeout.ms": "2000",
            }
        )
        run_java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._controller.configuration))
        for n, broker in self.brokers.items():
            broker.configure(
                self._common(n)
                | {
                    "process.roles": "broker",
                    "listeners": f"PLAINTEXT://127.0.0.1:{self._ports[n]}",
                    "broker.heartbeat.interval.ms": "300",
                    "broker.session.timeout.ms": "2000",
                    "replica.lag.time.max.ms": "1500",
                    "controlled.shutdown.enable": "false",
                    "auto.create.topics.enable": "false",
                }
            )
            data = self._data(n)
            data.mkdir()
            marks = {"version": "1", "cluster.id": cluster, "node.id": str(n), "directory.id": random_id()}
            (data / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in marks.items()))

    def _common(self, n: int) -> dict[str, str]:
        shutil.rmtree(self._data(n), ignore_errors=True)
        return {
            "node.id": str(n),
            "controller.quorum.voters": f"{_CONTROLLER}@127.0.0.1:{self._ports[_CONTROLLER]}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self._data(n)),
        }

    def _data(self, n: int) -> Path:
        return self._directory.path / f"data-{n}"
