"""Whose a cache's event log and keys are: two databases with caches of one name must not share them."""

from services.cdc.beginning import TAIL_RECORDS, read_log_end
from services.cdc.control import Server
from services.shared.eventlog.factory import open_reader
from services.shared.keyspace.scripts import Bucket, BucketState
from services.shared.redis_client import connect
from services.shared.runtime.settings import CacheSettings

REDIS_SECONDS = 5.0


def owner_of(server: Server) -> str:
    """Return what the bucket calls its owner: a database."""
    return f"{server.system}/{server.database}"


async def log_owner(cache: CacheSettings) -> str:
    """Return which database the event log follows; empty where that cannot be told.

    Raises:
        LogAbsent: There is no log.
        LogGap, LogUnavailable, LogUnsuitable: It cannot be read.
    """
    reader = open_reader(cache)
    await reader.open()
    try:
        tails = [await reader.tail(partition, TAIL_RECORDS) for partition in range(reader.partition_count)]
    finally:
        await reader.close()
    epoch = read_log_end([[record.value for record in tail] for tail in tails]).epoch
    return "" if epoch is None else f"{epoch.system}/{epoch.database}"


async def read_bucket(cache: CacheSettings) -> BucketState:
    """Read what the cache's bucket in Redis says of itself.

    Raises:
        BucketUnavailable: Redis cannot be reached, or what is there is not of this version.
    """
    client = connect(cache.redis_url.get_secret_value(), cache.prefix, REDIS_SECONDS, REDIS_SECONDS)
    try:
        return await Bucket(client, cache.name, cache.partitions, timeout=REDIS_SECONDS).state()
    finally:
        await client.aclose()
