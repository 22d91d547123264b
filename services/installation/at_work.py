"""Which services of a cache are at work, by the names that they give their connections to Redis.

The CDC service of a cache whose event log is in Kafka has none; its replication slot shows it. One that waits before
its next attempt has no connection anywhere: it shows when it makes again what was removed.
"""

import asyncio
import time
from typing import Any

from redis.exceptions import RedisError

from services.cdc.control import ControlConnection
from services.cdc.publication import find_publication
from services.cdc.replication.slot import find_slot
from services.installation.ownership import REDIS_SECONDS
from services.installation.reaching import reaching
from services.shared.redis_client import Part, client_name, connect
from services.shared.runtime.settings import CacheSettings

COMES_BACK_SECONDS = 6.0
"""The longest that a CDC service waits between two attempts is 5 s, unless the stream cannot be read (30 s)."""

_POLL_SECONDS = 0.25
_DESCRIBED = {Part.CDC: "a CDC service", Part.INVALIDATOR: "an invalidator"}


async def services_at_work(cache: CacheSettings) -> list[str]:
    """Return what would make again what is removed, each with where it is; nothing where Redis does not tell."""
    client: Any = connect(
        cache.redis_url.get_secret_value(), cache.prefix, REDIS_SECONDS, REDIS_SECONDS
    )  # its commands are not typed
    try:
        connections = await client.client_list()
    except (RedisError, OSError):
        return []
    finally:
        await client.aclose()
    names = {client_name(cache.prefix, part): described for part, described in _DESCRIBED.items()}
    found = {
        f"{names[connection['name']]} (from {connection.get('addr', '?').rpartition(':')[0]})"
        for connection in connections
        if connection.get("name") in names
    }
    return sorted(found)


async def come_back(cache: CacheSettings, application_name: str, seconds: float = COMES_BACK_SECONDS) -> list[str]:
    """Watch for a moment, and return what somebody has made again.

    Raises:
        Unreachable: There is no connection to the database.
    """
    give_up_at = time.monotonic() + seconds
    async with reaching(cache.upstream, application_name, ControlConnection, read_only=True) as control:
        while time.monotonic() < give_up_at:
            there = []
            if await find_publication(control, cache.publication) is not None:
                there.append(f"publication {cache.publication}")
            if await find_slot(control, cache.slot) is not None:
                there.append(f"replication slot {cache.slot}")
            if there:
                return there
            await asyncio.sleep(_POLL_SECONDS)
    return []
