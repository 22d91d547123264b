"""The Redis of a stack: one server, or several of which one is the primary and another may become it.

Whatever it is, the stack sees one part: started, killed, frozen (that is, its primary), with the URL of the primary for
the suite itself. Services come to one server through their links; to a group they come as it tells them to.
"""

from collections.abc import Mapping
from enum import StrEnum

from tests.chaos.network import Network
from tests.servers.redis import RedisServer
from tests.servers.redis_groups import RedisCluster, SentinelGroup, follow


class Kind(StrEnum):
    """What it is made of."""

    SERVER = "server"
    REPLICATED = "replicated"  # a primary, and a replica behind a link; whoever is in charge moves the address
    SENTINELS = "sentinels"
    CLUSTER = "cluster"


class RedisSide:
    """One server.

    Attributes:
        services_url: How services name it; empty: by their links.
    """

    services_url = ""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._paused: list[RedisServer] = []

    @property
    def primary(self) -> RedisServer:
        """The server that counts now."""
        return self._server

    @property
    def url(self) -> str:
        """The primary's URL."""
        return self.primary.url

    @property
    def port(self) -> int:
        """The primary's port."""
        return self.primary.port

    @property
    def servers(self) -> list[RedisServer]:
        """All servers."""
        return [self._server]

    def start(self) -> object:
        """Start the servers that do not run."""
        for server in self.servers:
            if not server.running:
                server.start()
        return self

    def kill(self) -> None:
        """SIGKILL for the primary."""
        self.primary.kill()

    def pause(self) -> None:
        """SIGSTOP for the primary."""
        self._paused.append(self.primary)
        self.primary.pause()

    def resume(self) -> None:
        """SIGCONT for whoever was stopped."""
        while self._paused:
            self._paused.pop().resume()

    def destroy(self) -> None:
        """End everything."""
        for server in self.servers:
            server.destroy()


class Replicated(RedisSide):
    """A primary and a replica, which nobody watches.

    Attributes:
        replica: The other server.
        replication: The way from the replica to the primary.
    """

    def __init__(self, network: Network, settings: Mapping[str, str | int]) -> None:
        super().__init__(RedisServer("valkey", **settings))
        self.replica = RedisServer("valkey", **settings)
        self.replication = network.link()

    @property
    def servers(self) -> list[RedisServer]:
        """Both."""
        return [self._server, self.replica]

    def start(self) -> object:
        """Start both, and have one follow the other."""
        super().start()
        self.replication.mend()
        self.replication.target = self._server.port
        follow(self.replica, self._server, self.replication.port)
        return self

    def promote(self) -> None:
        """Make the replica a primary of its own; the old one is not told."""
        self.replication.cut()
        self._server, self.replica = self.replica, self._server
        self._server.ask("REPLICAOF", "NO", "ONE")


class UnderSentinels(RedisSide):
    """A primary and a replica under three Sentinels."""

    def __init__(self, settings: Mapping[str, str | int]) -> None:
        self.group = SentinelGroup("valkey", 700, "", **settings).start()
        super().__init__(self.group.servers[0])
        self.services_url = self.group.url

    @property
    def primary(self) -> RedisServer:
        """Whom the Sentinels call the primary."""
        return self.group.primary

    @property
    def servers(self) -> list[RedisServer]:
        """Both."""
        return self.group.servers

    def destroy(self) -> None:
        """End everything."""
        self.group.destroy()


class Clustered(RedisSide):
    """A Redis Cluster."""

    def __init__(self, key: str, settings: Mapping[str, str | int]) -> None:
        self.cluster = RedisCluster(key, "valkey", **settings).start()
        super().__init__(self.cluster.nodes[0])
        self.services_url = self.cluster.url

    @property
    def primary(self) -> RedisServer:
        """The node that has our slot."""
        return self.cluster.owner

    @property
    def servers(self) -> list[RedisServer]:
        """All nodes."""
        return [*self.cluster.nodes, self.cluster.spare]

    def destroy(self) -> None:
        """End everything."""
        self.cluster.destroy()


def make_redis(kind: Kind, settings: Mapping[str, str | int], network: Network, key: str) -> RedisSide:
    """Make the Redis of a stack; a group runs when this returns, for services are told where it is."""
    if kind is Kind.REPLICATED:
        return Replicated(network, settings)
    if kind is Kind.SENTINELS:
        return UnderSentinels(settings)
    if kind is Kind.CLUSTER:
        return Clustered(key, settings)
    return RedisSide(RedisServer("valkey", **settings))
