"""Brokers of a cluster are lost, some of them or all; and the one that is left leads without what it never had."""

from collections.abc import Callable
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]  # as above

from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.faults.processes import REANNOUNCED_SECONDS
from tests.chaos.stack import SLOT, TOPIC, Plan, Stack
from tests.servers.kafka_cluster import KafkaCluster
from tests.servers.processes import wait_until

_AWAY_SECONDS = 4.0  # well beyond the bound
_UNSEEN_SECONDS = 2.0  # that the leader alone takes records
_TAKE_OVER_SECONDS = 30.0
_IN_SYNC_SECONDS = 60.0
_KEPT = f"SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{SLOT}'"


class _BrokersLost(Fault):
    """Nothing that was acknowledged is lost with them."""

    plan = replace(Plan(), cluster=True)
    recovery_seconds = 60.0  # the load of four JVMs that start included

    def strike(self, scene: Scene) -> None:
        """Lose brokers, and get them back."""
        invalidator = scene.stack.services["invalidator"]
        epochs = invalidator.metric("tidegate_invalidator_epochs_total")
        cluster = _cluster(scene.stack)
        _wait_in_sync(cluster)
        self.lose(scene, cluster)
        cluster.resume()
        cluster.restart()
        scene.mend()
        wait_services(scene.stack)
        scene.wait_steady(self.recovery_seconds)
        assert invalidator.metric("tidegate_invalidator_epochs_total") == epochs, "the cache began cold"

    def lose(self, scene: Scene, cluster: KafkaCluster) -> None:
        """Do it, with `scene.strike()` at its beginning."""
        raise NotImplementedError


class LeaderKilled(_BrokersLost):
    """SIGKILL for the broker that leads the topic's partition; another one takes over."""

    name = "broker that leads killed -9"
    expected = "an in-sync broker takes over, nothing is lost, the cache stays warm"

    def lose(self, scene: Scene, cluster: KafkaCluster) -> None:
        """Kill it, and wait until reads are hits again without it."""
        leader, _ = cluster.partition(TOPIC)
        scene.strike()
        cluster.brokers[leader].kill()
        wait_until(lambda: cluster.partition(TOPIC)[0] not in (leader, -1), "a new leader", _TAKE_OVER_SECONDS)
        wait_services(scene.stack)
        scene.wait_steady(_TAKE_OVER_SECONDS)


class TooFewInSync(_BrokersLost):
    """Two of three brokers are away, and the topic asks for two that have each record (min.insync.replicas)."""

    name = "two of three brokers dead, in-sync replicas below the minimum"
    expected = "as if the CDC service were dead: nothing is appended, WAL is kept back, nothing is served"

    def lose(self, scene: Scene, cluster: KafkaCluster) -> None:
        """Kill the followers."""
        leader, _ = cluster.partition(TOPIC)
        scene.strike()
        for n, broker in cluster.brokers.items():
            if n != leader:
                broker.kill()
        _stay_away(scene)


class AllBrokersDead(_BrokersLost):
    """No broker is left for a while."""

    name = "all brokers killed -9"
    expected = TooFewInSync.expected

    def lose(self, scene: Scene, cluster: KafkaCluster) -> None:
        """Kill them."""
        scene.strike()
        cluster.kill()
        _stay_away(scene)


class UncleanElection(Fault):
    """A broker leads that lacks records which were acknowledged."""

    expected = "a gap where the invalidator has not read them: a new epoch, the cache begins cold"
    plan = _BrokersLost.plan
    recovery_seconds = REANNOUNCED_SECONDS

    def __init__(self, *, unread: bool) -> None:
        """Prepare.

        Args:
            unread: Whether the invalidator is stopped meanwhile, so that it never sees the records that are lost.
        """
        self._unread = unread
        self.name = "unclean leader election" + (", what is lost has not been read" if unread else "")

    def strike(self, scene: Scene) -> None:
        """Have the leader alone take records, kill it for good, and let another lead."""
        cluster, invalidator = _cluster(scene.stack), scene.stack.services["invalidator"]
        epochs = invalidator.metric("tidegate_invalidator_epochs_total")
        _wait_in_sync(cluster)
        _alter(cluster, {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"})
        leader, _ = cluster.partition(TOPIC)
        others = [broker for n, broker in cluster.brokers.items() if n != leader]
        scene.strike()
        if self._unread:
            invalidator.pause()  # where every broker has what it read: no offset tells what is lost
        for broker in others:
            broker.pause()
        wait_until(lambda: cluster.partition(TOPIC)[1] == [leader], "the leader to be alone", _TAKE_OVER_SECONDS)
        scene.let_pass(_UNSEEN_SECONDS)
        cluster.brokers[leader].kill()
        for broker in others:
            broker.resume()
        wait_until(lambda: cluster.partition(TOPIC)[0] not in (leader, -1), "a new leader", _TAKE_OVER_SECONDS)
        invalidator.resume()
        scene.mend()
        if self._unread:
            began = lambda: invalidator.metric("tidegate_invalidator_epochs_total") > epochs  # noqa: E731 - for the wait
            wait_until(began, "a new epoch", _TAKE_OVER_SECONDS)
        wait_services(scene.stack)
        cluster.restart()

    def clean(self, stack: Stack) -> None:
        """Ask for two again that have each record."""
        _alter(_cluster(stack), {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"})


def _cluster(stack: Stack) -> KafkaCluster:
    assert stack.cluster is not None
    return stack.cluster


def _wait_in_sync(cluster: KafkaCluster) -> None:
    everybody = len(cluster.brokers)
    wait_until(lambda: len(cluster.partition(TOPIC)[1]) == everybody, "all brokers to be in sync", _IN_SYNC_SECONDS)


def _stay_away(scene: Scene) -> None:
    """Let it last, and see that nothing is served and that the slot keeps back what cannot be appended."""
    scene.wait_bypass()
    scene.let_pass(_AWAY_SECONDS)
    with scene.stack.postgres.connect() as connection:
        ((kept,),) = connection.execute(_KEPT).fetchall()
    assert kept > 0
    scene.remarks.append(f"{int(kept) / 1024:.0f} KiB of WAL kept back")


def _alter(cluster: KafkaCluster, settings: dict[str, str]) -> None:
    async def alter(admin: AIOKafkaAdminClient) -> None:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, configs=settings)])

    cluster.administered(alter)


FAULTS: list[Callable[[], Fault]] = [
    LeaderKilled,
    TooFewInSync,
    AllBrokersDead,
    lambda: UncleanElection(unread=True),
    lambda: UncleanElection(unread=False),
]
