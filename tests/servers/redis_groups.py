"""Several Redis servers that belong together: a primary with a replica under Sentinels, and a Redis Cluster.

with SentinelGroup() as group:
    redis.asyncio … group.url           # redis+sentinel://…
    group.fail_over()

with RedisCluster("tidegate:{shop}:") as cluster:
    redis.asyncio … cluster.url         # redis+cluster://…
    cluster.move_slot(to=cluster.nodes[1])
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from redis.crc import key_slot

from tests.servers.processes import ManagedProcess, ServerDirectory, free_port, wait_until
from tests.servers.redis import Flavour, RedisServer, program_of, raw_reply

SERVICE = "main"
_SLOTS = 16_384
_PRIMARIES = 3
_SECONDS = 60.0  # a Sentinel that was held up for two seconds decides nothing for thirty (TILT)
_MIGRATED_KEYS = 100  # in one step
_SYNCS_AT_ONCE: dict[str, str | int] = {"repl_diskless_sync_delay": 0}  # it waits 5 s for further replicas otherwise
_HURRY = "info-period 200 publish-period 200 ping-period 100 ask-period 100 slave-reconf-timeout 1000".split()


def follow(replica: RedisServer, primary: RedisServer, port: int = 0) -> None:
    """Make a server the replica of another, at its port or a link's, and wait until it has its data."""
    replica.ask("REPLICAOF", "127.0.0.1", port or primary.port)
    wait_until(lambda: _is_in_sync(replica), "the replica to be in sync", _SECONDS)


def _is_in_sync(server: RedisServer) -> bool:
    info = server.ask("INFO", "replication")
    return "master_link_status:up" in info and "master_sync_in_progress:0" in info


class Sentinel:
    """One Sentinel.

    Args:
        flavour: Whose.
        primary: The primary to begin with.
        quorum: How many have to agree that it is down.
        down_after_ms: After how much silence it is down.
        settings: Further lines of its configuration.
    """

    def __init__(
        self, flavour: Flavour, primary: RedisServer, quorum: int, down_after_ms: int, settings: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self._directory = ServerDirectory("sentinel")
        configuration = self._directory.path / "configuration"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self._directory.path}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
            f"sentinel failover-timeout {SERVICE} 3000",
            *settings,
        ]
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")  # it writes into it what it learns
        self.process = ManagedProcess(
            "sentinel",
            [program_of(flavour), configuration, "--sentinel"],
            self._directory.path / "log",
            cwd=self._directory.path,
        )

    def destroy(self) -> None:
        """End it."""
        if self.process.running:
            self.process.kill()
        self._directory.remove()


class SentinelGroup:
    """Two servers, one of them a replica of the other, under three Sentinels.

    Args:
        flavour: Whose.
        down_after_ms: After how much silence the primary is replaced.
        password: Of the Sentinels; none: they ask for none.
        settings: Of both servers.

    Attributes:
        servers: The servers; the first one is the primary to begin with.
        sentinels: The Sentinels.
    """

    def __init__(
        self, flavour: Flavour = "valkey", down_after_ms: int = 700, password: str = "", **settings: str | int
    ) -> None:
        self.servers = [RedisServer(flavour, **(_SYNCS_AT_ONCE | settings)) for _ in range(2)]
        self.sentinels: list[Sentinel] = []
        self._flavour: Flavour = flavour
        self._down_after_ms = down_after_ms
        self._password = password

    def __enter__(self) -> "SentinelGroup":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.destroy()

    @property
    def url(self) -> str:
        """How our services name it."""
        nodes = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        secret = f"?sentinel_password={self._password}" if self._password else ""
        return f"redis+sentinel://{nodes}/{SERVICE}/0{secret}"

    @property
    def primary(self) -> RedisServer:
        """The server that the Sentinels call the primary."""
        port = self._primary_port()
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def start(self) -> "SentinelGroup":
        """Start everything, and wait until the Sentinels know each other and the replica."""
        for server in self.servers:
            server.start()
        follow(self.servers[1], self.servers[0])
        secret = [f"requirepass {self._password}", f"sentinel sentinel-pass {self._password}"] if self._password else []
        self.sentinels = [Sentinel(self._flavour, self.servers[0], 2, self._down_after_ms, secret) for _ in range(3)]
        for sentinel in self.sentinels:
            wait_until(partial(self._is_hurried, sentinel), "a Sentinel to answer", _SECONDS)
        wait_until(lambda: all(map(self._knows_all, self.sentinels)), "the Sentinels to know each other", _SECONDS)
        return self

    def fail_over(self) -> None:
        """Have the replica made the primary, as if the primary were gone, and wait until it is."""
        before = self._primary_port()
        self._tell(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
        self.wait_for_another(before)

    def replace_behind_its_back(self) -> None:
        """Promote the replica and have the Sentinels name it; the old primary is not told, and goes on as before."""
        new = self.replica
        new.ask("REPLICAOF", "NO", "ONE")
        for sentinel in self.sentinels:
            self._tell(sentinel, "SENTINEL", "REMOVE", SERVICE)
        for sentinel in self.sentinels:
            self._tell(sentinel, "SENTINEL", "MONITOR", SERVICE, "127.0.0.1", str(new.port), "2")

    def wait_for_another(self, port: int) -> None:
        """Wait until the primary is another than the one with this port."""
        wait_until(lambda: self._primary_port() != port, "another primary", _SECONDS)
        wait_until(lambda: all(map(self._knows_all, self.sentinels)), "the Sentinels to be done", _SECONDS)

    def destroy(self) -> None:
        """End everything."""
        for sentinel in self.sentinels:
            sentinel.destroy()
        for server in self.servers:
            server.destroy()

    def _primary_port(self) -> int:
        return int(self._tell(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def _is_hurried(self, sentinel: Sentinel) -> bool:
        """Have it talk to the others more often than every two seconds."""
        try:
            return bool(self._tell(sentinel, "SENTINEL", "DEBUG", *_HURRY))
        except redis.ConnectionError:
            return False

    def _knows_all(self, sentinel: Sentinel) -> bool:
        try:
            told = self._tell(sentinel, "SENTINEL", "MASTER", SERVICE)
        except redis.RedisError:
            return False
        facts = dict(zip(told[::2], told[1::2], strict=True))
        return (facts["num-other-sentinels"], facts["num-slaves"], facts["flags"]) == ("2", "1", "master")

    def _tell(self, sentinel: Sentinel, *command: str) -> Any:
        password = self._password or None
        with redis.Redis(port=sentinel.port, password=password, decode_responses=True, protocol=2) as client:
            return raw_reply(client, *command)


class RedisCluster:
    """Three primaries, and a replica of the one that has a key.

    Args:
        key: A key; what is done is done to its slot.
        flavour: Whose.
        settings: Of all nodes.

    Attributes:
        nodes: The primaries to begin with.
        spare: The replica of the one that has the key.
        slot: The key's slot.
    """

    def __init__(self, key: str, flavour: Flavour = "valkey", **settings: str | int) -> None:
        self.slot = key_slot(key.encode())
        given: dict[str, str | int] = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": 1000,
            "cluster_require_full_coverage": "no",
        }
        given |= _SYNCS_AT_ONCE | settings
        servers = [RedisServer(flavour, cluster_port=free_port(), **given) for _ in range(_PRIMARIES + 1)]
        *self.nodes, self.spare = servers

    def __enter__(self) -> "RedisCluster":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.destroy()

    @property
    def url(self) -> str:
        """How our services name it: by two nodes, one of which has not the key."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[1].port}"

    @property
    def owner(self) -> RedisServer:
        """The node that has the key's slot."""
        for first, last, (_, port, *_), *_ in self._slots():
            if first <= self.slot <= last:
                return self._node(port)
        raise LookupError("nobody has the slot")

    @property
    def others(self) -> list[RedisServer]:
        """The other primaries."""
        owner, slots = self.owner, self._slots()
        ports = dict.fromkeys(port for _, _, (_, port, *_), *_ in slots)
        return [self._node(port) for port in ports if port != owner.port]

    def _slots(self) -> Any:
        """Ask a node that runs who has which slots; the last ones have the fewest things done to them."""
        for node in reversed(self.nodes):
            if node.running:
                with suppress(redis.ConnectionError):
                    return node.ask("CLUSTER", "SLOTS")
        raise LookupError("no node answers")

    def _node(self, port: int) -> RedisServer:
        return next(node for node in (*self.nodes, self.spare) if node.port == port)

    def start(self) -> "RedisCluster":
        """Start the nodes, and wait until they are a cluster."""
        servers = [*self.nodes, self.spare]
        for server in servers:
            server.start()
        first = servers[0]
        for server in servers[1:]:
            server.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.settings["cluster-port"])
        share = _SLOTS // _PRIMARIES + 1
        for number, node in enumerate(self.nodes):
            last = min((number + 1) * share, _SLOTS) - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        wait_until(lambda: all(map(_is_joined, servers)), "the cluster to be one", _SECONDS)
        owner = self.nodes[self.slot // share]
        self.spare.ask("CLUSTER", "REPLICATE", owner.ask("CLUSTER", "MYID"))
        wait_until(lambda: _is_in_sync(self.spare), "the replica to be in sync", _SECONDS)
        wait_until(lambda: _replicas(self.nodes[2], owner) == 1, "the replica to be known", _SECONDS)
        return self

    def fail_over(self) -> None:
        """Have the replica take the place of its primary, in order."""
        before = self.owner
        self.spare.ask("CLUSTER", "FAILOVER")
        self.wait_for_another(before)

    def wait_for_another(self, owner: RedisServer) -> None:
        """Wait until the key's slot has another owner than this."""
        wait_until(lambda: self.owner is not owner, "the replica to be the primary", _SECONDS)

    def move_slot(self, to: RedisServer, first: Sequence[str] = (), between: Callable[[], None] = lambda: None) -> None:
        """Move the key's slot to another primary, as `redis-cli --cluster reshard` does.

        Args:
            to: The primary.
            first: Keys that are moved before the others; none: whichever.
            between: Called when these have been moved, and the others not.
        """
        source, others = self.owner, self.others
        ids = {node: node.ask("CLUSTER", "MYID") for node in (source, *others)}
        to.ask("CLUSTER", "SETSLOT", self.slot, "IMPORTING", ids[source])
        source.ask("CLUSTER", "SETSLOT", self.slot, "MIGRATING", ids[to])
        begin = first or source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, 1)
        source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "REPLACE", "KEYS", *begin)
        between()
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", self.slot, _MIGRATED_KEYS):
            source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
        for node in (to, source, *others):
            node.ask("CLUSTER", "SETSLOT", self.slot, "NODE", ids[to])

    def destroy(self) -> None:
        """End everything."""
        for server in (*self.nodes, self.spare):
            server.destroy()


def _is_joined(server: RedisServer) -> bool:
    info = server.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in info and f"cluster_known_nodes:{_PRIMARIES + 1}\r" in info


def _replicas(asked: RedisServer, primary: RedisServer) -> int:
    return sum(len(nodes) for _, _, (_, port, *_), *nodes in asked.ask("CLUSTER", "SLOTS") if port == primary.port)
