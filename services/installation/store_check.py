"""Looks at what a cache has outside of its database, the Redis and the event log, and changes nothing there."""

from services.cdc.control import Server
from services.installation.ownership import REDIS_SECONDS, log_owner, owner_of, read_bucket
from services.invalidator.reasons import MemoryPolicyError
from services.invalidator.upkeep import check_memory_policy
from services.shared.eventlog.keeping import check_log_settings
from services.shared.eventlog.log import LogAbsent, LogError, LogUnavailable
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.scripts import BucketUnavailable
from services.shared.redis_client import connect
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings

_RENAME = "rename the cache (and drop what it has under this name with tidegate teardown), or use another"


async def redis_findings(cache: CacheSettings, server: Server | None) -> list[Finding]:
    """Look at Redis.

    Args:
        cache: The cache.
        server: Its database; None where that is not known.
    """
    client = connect(cache.redis_url.get_secret_value(), REDIS_SECONDS, REDIS_SECONDS)
    try:
        await check_memory_policy(client)
        state = await read_bucket(cache)
    except MemoryPolicyError as error:
        text, _, remedy = str(error).partition(": ")
        return [Finding(Level.FAIL, "redis", text, remedy)]
    except BucketUnavailable as error:
        text = f"Redis cannot be reached: start it, or correct TIDEGATE_REDIS_URL. ({mask_secrets(str(error))})"
        return [Finding(Level.FAIL, "redis", text)]
    finally:
        await client.aclose()
    if server is not None and state.owner not in ("", owner_of(server)):
        text = f"The keys of a cache {cache.name} in this Redis belong to another database"
        return [Finding(Level.FAIL, "redis", text, f"{_RENAME} Redis or another number of its database")]
    return [Finding(Level.OK, "redis", "Redis answers, and its maxmemory-policy keeps what must stay")]


async def dead_letter_findings(cache: CacheSettings) -> list[Finding]:
    """Say how many log records an invalidator could not read lately."""
    client = connect(cache.redis_url.get_secret_value(), REDIS_SECONDS, None)
    try:
        letters = await DeadLetters(client, cache.name, REDIS_SECONDS).last_day()
    except BucketUnavailable as error:
        text = f"It cannot be seen whether log records were unreadable ({mask_secrets(str(error))})"
        return [Finding(Level.WARN, "unreadable", text, f"delete the key {Keys(cache.name).dead_letters} in Redis")]
    finally:
        await client.aclose()
    if not letters:
        return [Finding(Level.OK, "unreadable", "Every record of the event log could be read in the last day")]
    last = letters[-1]
    count = "1 record" if len(letters) == 1 else f"{len(letters)} records"
    text = (
        f"{count} of the event log could not be read in the last day, the last one at {last.when:%Y-%m-%d %H:%M:%S} "
        f"UTC (partition {last.partition}, place {last.place}: {last.error}). If it was ours, the cache began cold"
    )
    remedy = (
        "run the same version of CDC service and invalidator, and let nobody else write to the log; "
        "`tidegate tail --from-beginning` names them all"
    )
    return [Finding(Level.WARN, "unreadable", text, remedy)]


async def log_findings(cache: CacheSettings, server: Server | None) -> list[Finding]:
    """Look at the event log; for the arguments see `redis_findings`."""
    where = f"Kafka (topic {cache.topic})" if cache.kafka_bootstrap else "Redis"
    try:
        owner = await log_owner(cache)
        await check_log_settings(cache)
    except LogAbsent:
        text = f"There is no event log in {where} yet; the CDC service makes it when it starts"
        return [Finding(Level.OK, "event log", text)]
    except LogUnavailable as error:
        return [_no_answer(cache, mask_secrets(str(error)))]
    except LogError as error:
        return [Finding(Level.FAIL, "event log", mask_secrets(str(error)))]
    if server is not None and owner not in ("", owner_of(server)):
        text = f"The event log in {where} follows another database"
        return [Finding(Level.FAIL, "event log", text, f"{_RENAME} event log")]
    return [Finding(Level.OK, "event log", f"The event log in {where} answers")]


def _no_answer(cache: CacheSettings, said: str) -> Finding:
    if cache.kafka_bootstrap:
        text = f"No Kafka broker answers at {', '.join(cache.kafka_bootstrap)}"
        return Finding(Level.FAIL, "event log", f"{text} ({said})", "start it, or correct TIDEGATE_EVENT_LOG (--kafka)")
    return Finding(Level.FAIL, "event log", f"The event log cannot be read ({said})", "see what is said of Redis")
