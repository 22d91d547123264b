"""`tidegate teardown`: nothing is left of a cache, in its database, in Redis and in Kafka; what is not ours stays.

First it is looked at what there is, in a read-only session, so that a person can be asked; then it is removed, the
replication slot first, which keeps WAL on the primary for as long as it stands.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from services.cdc.canary import has_traces
from services.cdc.control import ControlConnection
from services.cdc.ddl_trigger import DROPPING
from services.cdc.errors import StatementError
from services.cdc.publication import find_publication
from services.cdc.replication.slot import drop_slot, find_slot
from services.cdc.setup import RELEASE_SECONDS, in_use, remove_all
from services.cdc.statements import dropping
from services.installation.at_work import services_at_work
from services.installation.ownership import REDIS_SECONDS, log_owner, owner_of, read_bucket
from services.installation.reaching import reaching
from services.installation.session_findings import proxy_connections
from services.shared.eventlog.keeping import delete_topic
from services.shared.eventlog.log import LogAbsent, LogError
from services.shared.keyspace.scripts import BucketUnavailable
from services.shared.redis_client import connect
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings

APPLICATION_NAME = "tidegate-teardown"

_RELEASE_POLL_SECONDS = 0.1
_FORCE_SECONDS = 5.0
_IN_USE = "55006"
_SCANNED_KEYS = 1000  # in one step, which holds Redis up for less than a millisecond


@dataclass
class Traces:
    """What there is of a cache.

    Attributes:
        slot, publication, canary: Whether they are in the database.
        keys: How many keys of the cache are in Redis.
        topic: Whether there is a topic in Kafka that follows this database.
        kept: What is left in place, each with the reason.
        unseen: What could not be looked at, each with the reason: it has to be removed another time.
        proxies: Connections of proxies to the database.
    """

    slot: bool = False
    publication: bool = False
    canary: bool = False
    keys: int = 0
    topic: bool = False
    kept: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    proxies: int = 0

    def described(self, cache: CacheSettings) -> list[str]:
        """Name what there is, a line for each."""
        lines = {
            f"replication slot {cache.slot}": self.slot,
            f"publication {cache.publication}": self.publication,
            f"canary of the cache {cache.name}; the schema tidegate, if it is the last one": self.canary,
            f"{self.keys} keys in Redis that begin with {cache.prefix}": bool(self.keys),
            f"topic {cache.topic} in Kafka": self.topic,
        }
        return [line for line, is_there in lines.items() if is_there]


async def find_traces(cache: CacheSettings, *, force: bool = False) -> Traces:
    """Look at what there is of a cache.

    Args:
        cache: The cache.
        force: Whether it is removed even if services are at work that may make it again.

    Raises:
        Unreachable: There is no connection to the database.
        Refusal: Services are at work, the slot is in use, or something else has its name.
    """
    traces = Traces()
    async with reaching(cache.upstream, APPLICATION_NAME, ControlConnection, read_only=True) as control:
        traces.slot = await _free_slot(control, cache.slot, force=force)
        if not force:
            await _refuse_beside_services(cache)
        traces.publication = await find_publication(control, cache.publication) is not None
        traces.canary = await has_traces(control, cache.name)
        traces.proxies = await proxy_connections(control)
        owner = owner_of(await control.server())
    await _look_at_redis(cache, owner, traces)
    if cache.kafka is not None:
        await _look_at_kafka(cache, owner, traces)
    return traces


async def remove_traces(cache: CacheSettings, traces: Traces, *, force: bool = False) -> None:
    """Remove what was found.

    Args:
        cache: The cache.
        traces: What there is of it.
        force: Whether to end whoever reads the slot.

    Raises:
        Refusal: Something cannot be removed; what is left has to be removed by a person, as the text says.
    """
    async with reaching(cache.upstream, APPLICATION_NAME, ControlConnection, read_only=False) as control:
        try:
            if force:
                await _end_reader(control, cache.slot)
            await remove_all(control, cache.name, cache.slot, cache.publication)
        except StatementError as error:
            advice = (
                f"{dropping(cache.publication)}; and, if no other cache uses them, "
                f"{DROPPING}; DROP SCHEMA IF EXISTS tidegate CASCADE"
            )
            raise Refusal(
                f"our role may not remove everything ({error}): have an administrator run {advice}"
            ) from error
    if traces.keys:
        try:
            async for client, keys in _keys(cache):
                await client.unlink(*keys)
        except (RedisError, OSError) as error:
            raise Refusal(f"keys are left in Redis: {mask_secrets(str(error))}; run tidegate teardown again") from error
    if traces.topic:
        try:
            await delete_topic(cache)
        except LogError as error:
            raise Refusal(f"the topic {cache.topic} is left in Kafka: {mask_secrets(str(error))}") from error


async def _refuse_beside_services(cache: CacheSettings) -> None:
    """Wait for services that have just ended to be gone from Redis.

    Raises:
        Refusal: They are at work.
    """
    deadline = time.monotonic() + RELEASE_SECONDS
    while at_work := await services_at_work(cache):
        if time.monotonic() >= deadline:
            raise Refusal(
                f"at work for the cache {cache.name}: {', '.join(at_work)}, which would make again what is removed: "
                "stop `tidegate up`, `tidegate cdc` and `tidegate invalidator` there, or remove it all the same with "
                "--force"
            )
        await asyncio.sleep(_RELEASE_POLL_SECONDS)


async def _end_reader(control: ControlConnection, name: str) -> None:
    """End whoever reads the slot, and drop it before it is read again."""
    deadline = time.monotonic() + _FORCE_SECONDS
    while (slot := await find_slot(control, name)) is not None and slot.ours and time.monotonic() < deadline:
        if slot.active_pid is not None:
            await control.fetch("SELECT pg_terminate_backend($1)", slot.active_pid)
        try:
            await drop_slot(control, name)
        except StatementError as error:
            if error.sqlstate != _IN_USE:
                raise
            await asyncio.sleep(_RELEASE_POLL_SECONDS)


async def _free_slot(control: ControlConnection, name: str, *, force: bool) -> bool:
    """Wait for a service that has just ended to be noticed; return whether there is a slot.

    Raises:
        Refusal: It is in use, or not ours.
    """
    deadline = time.monotonic() + RELEASE_SECONDS
    while (slot := await find_slot(control, name)) is not None and slot.active_pid is not None and not force:
        if time.monotonic() >= deadline:
            raise Refusal(f"{in_use(name, slot)}; or --force")
        await asyncio.sleep(_RELEASE_POLL_SECONDS)
    if slot is not None and not slot.ours:
        raise Refusal(f"replication slot {name} is of another database or plugin, so this is not our cache: look at it")
    return slot is not None


async def _look_at_redis(cache: CacheSettings, owner: str, traces: Traces) -> None:
    try:
        found = (await read_bucket(cache)).owner
        if not found and cache.kafka is None:
            found = await log_owner(cache)
        if found not in ("", owner):
            traces.kept.append(f"keys in Redis that begin with {cache.prefix}: they belong to another database")
            return
    except LogAbsent:
        pass
    except (BucketUnavailable, LogError) as error:
        traces.unseen.append(f"keys in Redis that begin with {cache.prefix} ({mask_secrets(str(error))})")
        return
    async for _, keys in _keys(cache):
        traces.keys += len(keys)


async def _look_at_kafka(cache: CacheSettings, owner: str, traces: Traces) -> None:
    try:
        found = await log_owner(cache)
    except LogAbsent:
        return
    except LogError as error:
        traces.unseen.append(f"topic {cache.topic} in Kafka ({mask_secrets(str(error))})")
        return
    if found == owner:
        traces.topic = True
    else:
        reason = "it follows another database" if found else "it does not say which database it follows"
        traces.kept.append(f"topic {cache.topic} in Kafka: {reason}; kafka-topics.sh --delete removes it")


async def _keys(cache: CacheSettings) -> AsyncIterator[tuple[Any, list[bytes]]]:
    """Yield the cache's keys, some at a time, with the client that found them."""
    client: Any = connect(cache.redis_url.get_secret_value(), cache.prefix, REDIS_SECONDS, REDIS_SECONDS)
    try:
        cursor = 0
        while True:
            cursor, keys = await client.scan(cursor, match=f"{cache.prefix}*", count=_SCANNED_KEYS)
            if keys:
                yield client, keys
            if not cursor:
                return
    finally:
        await client.aclose()
