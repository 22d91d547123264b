"""What a Redis can do: lose everything or a suffix, fail over, run out of memory, be slow, move our slot."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, takewhile

from tests.chaos.fault import PAUSE_SECONDS, Fault, Scene, wait_services
from tests.chaos.faults.processes import REANNOUNCED_SECONDS
from tests.chaos.history import now
from tests.chaos.redis_side import Clustered, Kind, Replicated, UnderSentinels
from tests.chaos.stack import Plan, Stack
from tests.chaos.workload import Load
from tests.servers.redis import RedisServer

_LAG_SECONDS = 2.0  # of load that the replica, or the copy on disk, has not
_SELDOM = Load(write_pause_seconds=0.15)  # so that much of what is lost is not written again before anybody looks
_WAIT_SECONDS = 1.0  # longest that a read may take while Redis says nothing: redis_timeout, Postgres, a busy machine
_FILLER = b"x" * 10_000
_FILLERS = 2_000
_BUSY = "local began = os.clock() repeat until os.clock() - began > 1.5"  # of its processor; TIME stands still in it

_AOF = replace(Plan(), redis_settings={"appendonly": "yes"})
_REPLICATED = replace(Plan(), redis=Kind.REPLICATED)
_SENTINELS = replace(Plan(), redis=Kind.SENTINELS)
_CLUSTER = replace(Plan(), redis=Kind.CLUSTER)
_WITH_DUMP = replace(Plan(), redis_settings={"dbfilename": "copy.rdb"})


def _epochs(scene: Scene) -> float:
    return scene.stack.services["invalidator"].metric("tidegate_invalidator_epochs_total")


class _Warm(Fault):
    """A fault after which what was cached is served again: no bucket epoch begins."""

    _before = 0.0

    def strike(self, scene: Scene) -> None:
        """Do it."""
        self._before = _epochs(scene)
        self.damage(scene)
        wait_services(scene.stack)

    def damage(self, scene: Scene) -> None:
        """Do it and undo it."""
        raise NotImplementedError

    def check(self, scene: Scene) -> None:
        """See that the cache is the one that was."""
        assert _epochs(scene) == self._before, "the cache began cold"


class Flushed(Fault):
    """FLUSHALL."""

    expected = "a new epoch: the cache begins cold"
    recovery_seconds = REANNOUNCED_SECONDS

    def __init__(self, *, kafka: bool = True) -> None:
        self.name = "redis flushed"
        self.plan = replace(Plan(), kafka=kafka)

    def strike(self, scene: Scene) -> None:
        """Delete every key."""
        scene.strike()
        scene.stack.redis.primary.ask("FLUSHALL")
        scene.mend()
        wait_services(scene.stack)


class KilledWithAof(_Warm):
    """Killed, and started again with all that it had written."""

    name = "redis with an AOF killed -9"
    expected = "it comes back with what it had, and the cache is warm"
    plan = _AOF

    def damage(self, scene: Scene) -> None:
        """Kill it and start it again."""
        scene.strike()
        scene.stack.redis.kill()
        scene.stack.redis.start()
        scene.mend()


class RestoredFromCopy(_Warm):
    """Killed, and started with a copy of two seconds ago."""

    name = "redis killed -9, and back with an older copy"
    expected = "positions, evictions and answers went back together: what is lost is applied again, and all is warm"
    plan = _WITH_DUMP
    load = _SELDOM
    clients_notice = True

    def damage(self, scene: Scene) -> None:
        """Save, write on, kill, start."""
        scene.stack.redis.primary.ask("SAVE")
        scene.let_pass(_LAG_SECONDS)
        scene.strike()
        scene.stack.redis.kill()
        scene.stack.redis.start()
        _empty_proxy(scene)
        scene.mend()


class LaggingReplica(Fault):
    """The primary is killed, and a replica takes its place that lacks the last two seconds."""

    expected = "as from an old copy: what is lost is applied again; a log in the same Redis is lost as well"
    recovery_seconds = REANNOUNCED_SECONDS
    load = _SELDOM
    clients_notice = True

    def __init__(self, *, kafka: bool = True) -> None:
        self.name = "redis killed -9, a replica that lags promoted"
        self.plan = replace(_REPLICATED, kafka=kafka)
        self._before = 0.0

    def strike(self, scene: Scene) -> None:
        """Hold the replica back, kill the primary, promote, move the address."""
        self._before = _epochs(scene)
        redis = _replicated(scene.stack)
        redis.replication.stall()
        scene.let_pass(_LAG_SECONDS)
        scene.strike()
        redis.kill()
        redis.promote()
        _move_address(scene.stack, *scene.stack.services)
        _empty_proxy(scene)
        scene.mend()
        wait_services(scene.stack)

    def check(self, scene: Scene) -> None:
        """With the log elsewhere, see that the cache is the one that was."""
        assert not scene.stack.plan.kafka or _epochs(scene) == self._before, "the cache began cold"

    def clean(self, stack: Stack) -> None:
        """Have the old primary follow the new one."""
        stack.redis.start()


class OldPrimaryGoesOn(Fault):
    """A proxy is cut off together with the old primary, which knows nothing of the new one."""

    name = "old primary of redis goes on for a proxy that is cut off with it"
    expected = "no watermark comes there any more: reads go to Postgres within the bound"
    plan = _REPLICATED

    def strike(self, scene: Scene) -> None:
        """Promote the replica for everybody but the proxy; then let the proxy follow."""
        redis = _replicated(scene.stack)
        scene.strike()
        redis.promote()
        others = [name for name in scene.stack.services if name != "proxy"]
        _move_address(scene.stack, *others)
        scene.wait_bypass()
        scene.let_pass(PAUSE_SECONDS)
        assert redis.replica.ask("ROLE")[0] == "master"
        _move_address(scene.stack, "proxy")
        scene.mend()
        wait_services(scene.stack)

    def clean(self, stack: Stack) -> None:
        """Have the old primary follow the new one."""
        stack.redis.start()


class FailedOver(Fault):
    """The primary is killed, and whoever watches makes the replica the primary; the old one comes back as a replica."""

    expected = "the new primary is found, with or without the last of what was written"
    recovery_seconds = REANNOUNCED_SECONDS

    def __init__(self, kind: Kind) -> None:
        self.name = f"primary of redis killed -9 ({kind})"
        self.plan = _SENTINELS if kind is Kind.SENTINELS else _CLUSTER

    def strike(self, scene: Scene) -> None:
        """Kill it, and wait for the other."""
        redis = scene.stack.redis
        before = redis.primary
        scene.strike()
        before.kill()
        _wait_for_another(scene.stack, before)
        redis.start()
        scene.mend()
        wait_services(scene.stack)


class SlotMoved(_Warm):
    """Our slot is moved to another node, key by key."""

    name = "slot of redis moved to another node"
    expected = "what needs a key that is elsewhere waits, reads go to Postgres; then all is warm"
    plan = _CLUSTER

    def damage(self, scene: Scene) -> None:
        """Move it, and stop for a while half-way."""
        redis = scene.stack.redis
        assert isinstance(redis, Clustered)
        scene.strike()
        self._source = redis.primary
        redis.cluster.move_slot(redis.cluster.others[0], between=lambda: scene.let_pass(1.0))
        scene.mend()

    def clean(self, stack: Stack) -> None:
        """Move it back to the node that has a replica."""
        redis = stack.redis
        assert isinstance(redis, Clustered)
        redis.cluster.move_slot(self._source)


class OutOfMemory(_Warm):
    """No memory, and nothing may be thrown away."""

    name = "redis out of memory"
    expected = "evictions and watermarks go on, so do hits; nothing more is kept"

    def damage(self, scene: Scene) -> None:
        """Take all memory away for a while."""
        with _settings(scene.stack.redis.primary, {"maxmemory-policy": "noeviction", "maxmemory": "1"}):
            scene.strike()
            scene.let_pass(PAUSE_SECONDS)
            share = scene.share(now() - 1.0, now())  # what was fresh when it began is stale by then
        scene.mend()
        assert share.hits > 0, "nothing was served without memory"
        refused = scene.stack.proxy.metric("tidegate_proxy_l2_fills_refused_total")
        scene.remarks.append(f"hit ratio {share.hit_ratio:.0%} without memory, {refused:,.0f} answers not kept")


class ShortOfMemory(_Warm):
    """Somebody else's keys press ours out."""

    name = "redis short of memory, volatile-lru"
    expected = "what is thrown away is a miss; what has to stay does"

    def damage(self, scene: Scene) -> None:
        """Fill it with keys that have a time to live."""
        server = scene.stack.redis.primary
        limit = _used_bytes(server) + (2 << 20)
        before = _thrown_away(server)
        with _settings(server, {"maxmemory-policy": "volatile-lru", "maxmemory": str(limit)}):
            scene.strike()
            ends_at = now() + PAUSE_SECONDS
            with scene.stack.redis_client() as client:
                for number in takewhile(lambda _: now() < ends_at, count()):
                    client.set(f"filler:{number % _FILLERS}", _FILLER, px=60_000)
        scene.mend()
        thrown = _thrown_away(server) - before
        assert thrown > 0
        scene.remarks.append(f"{thrown:,} keys thrown away")

    def clean(self, stack: Stack) -> None:
        """Delete what is left of the other keys."""
        with stack.redis_client() as client:
            client.unlink(*(f"filler:{number}" for number in range(_FILLERS)))


class Silent(_Warm):
    """Redis says nothing for a while, with all connections open."""

    expected = "reads go to Postgres, and none waits longer than redis_timeout before it does"

    def __init__(self, what: str, hold: Callable[[Scene, RedisServer], object]) -> None:
        self.name = f"redis silent: {what}"
        self._hold = hold

    def damage(self, scene: Scene) -> None:
        """Hold it up."""
        scene.strike()
        self._hold(scene, scene.stack.redis.primary)
        scene.mend()

    def check(self, scene: Scene) -> None:
        """See that no client waited for it."""
        super().check(scene)
        waits = [read.end - read.begin for read in scene.workload.history.reads if read.begin >= scene.struck_at]
        assert max(waits) < _WAIT_SECONDS, f"a read took {max(waits):.1f} s"
        scene.remarks.append(f"longest read {max(waits) * 1000:.0f} ms")


def _empty_proxy(scene: Scene) -> None:
    """Start the proxy anew: it has no answer of its own, and takes what Redis has."""
    scene.part("proxy").kill()
    scene.part("proxy").start()


def _pause(scene: Scene, server: RedisServer) -> None:
    server.ask("CLIENT", "PAUSE", int(PAUSE_SECONDS * 1000), "ALL")
    scene.let_pass(PAUSE_SECONDS)


@contextmanager
def _settings(server: RedisServer, settings: Mapping[str, str]) -> Iterator[None]:
    """Change settings for a while."""
    before = {name: server.ask("CONFIG", "GET", name)[1] for name in settings}
    try:
        for name, value in settings.items():
            server.ask("CONFIG", "SET", name, value)
        yield
    finally:
        for name, value in reversed(before.items()):
            server.ask("CONFIG", "SET", name, value)


def _number_in_info(server: RedisServer, section: str, name: str) -> int:
    lines: str = server.ask("INFO", section)
    return int(next(line.partition(":")[2] for line in lines.splitlines() if line.startswith(f"{name}:")))


def _used_bytes(server: RedisServer) -> int:
    return _number_in_info(server, "memory", "used_memory")


def _thrown_away(server: RedisServer) -> int:
    return _number_in_info(server, "stats", "evicted_keys")


def _replicated(stack: Stack) -> Replicated:
    assert isinstance(stack.redis, Replicated)
    return stack.redis


def _move_address(stack: Stack, *services: str) -> None:
    """Have services find the primary where they have always found it."""
    for service in services:
        link = stack.links[f"{service}-redis"]
        link.cut()
        link.target = stack.redis.port
        link.mend()


def _wait_for_another(stack: Stack, before: RedisServer) -> None:
    redis = stack.redis
    if isinstance(redis, UnderSentinels):
        redis.group.wait_for_another(before.port)
    else:
        assert isinstance(redis, Clustered)
        redis.cluster.wait_for_another(before)


FAULTS: list[Callable[[], Fault]] = [
    Flushed,
    OutOfMemory,
    ShortOfMemory,
    lambda: Silent("CLIENT PAUSE", _pause),
    lambda: Silent("a slow script", lambda _, server: server.ask("EVAL", _BUSY, 0)),
    KilledWithAof,
    RestoredFromCopy,
    LaggingReplica,
    OldPrimaryGoesOn,
    lambda: FailedOver(Kind.SENTINELS),
    SlotMoved,
    lambda: FailedOver(Kind.CLUSTER),
    lambda: Flushed(kafka=False),
    lambda: LaggingReplica(kafka=False),
]
