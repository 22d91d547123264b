"""Looks at what a cache has outside of its database, the Redis and the event log, and changes nothing there."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError, ResponseError

from services.cdc.control import Server
from services.installation.ownership import REDIS_SECONDS, log_owner, owner_of, read_bucket
from services.installation.redis_findings import RedisFacts, explain_redis, judge_redis, read_facts
from services.installation.redis_rights_check import missing_rights
from services.shared.eventlog.keeping import check_log_settings
from services.shared.eventlog.log import LogAbsent, LogError, LogUnavailable, LogUnsuitable
from services.shared.keyspace.dead_letters import DeadLetters
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.scripts import BucketUnavailable
from services.shared.redis_address import RedisAddress, Topology, parse_redis_url
from services.shared.redis_client import connect
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings

_STOPS_WRITES = "stop-writes-on-bgsave-error"
_RENAME = "rename the cache (and drop what it has under this name with tidegate teardown), or use another"


async def redis_findings(cache: CacheSettings, server: Server | None) -> list[Finding]:
    """Look at Redis.

    Args:
        cache: The cache.
        server: Its database; None where that is not known.
    """
    address = parse_redis_url(cache.redis_url.get_secret_value())
    try:
        async with asyncio.timeout(REDIS_SECONDS * 2):
            looked = await _read_facts(cache, address)
    except (RedisError, OSError) as error:  # TimeoutError and SSLError are OSErrors
        return [explain_redis(address, error)]
    if not isinstance(looked, RedisFacts):
        return looked
    findings = judge_redis(looked, address, log_is_there=cache.kafka is None)
    if failed(findings):
        return findings
    try:
        state = await read_bucket(cache)
    except BucketUnavailable as error:
        text = f"The keys of the cache {cache.name} in Redis cannot be read ({mask_secrets(str(error))})"
        remedy = f"mend what Redis says; if these are keys of another version, {_RENAME}"
        return [*findings, Finding(Level.FAIL, "redis", text, remedy)]
    if server is not None and state.owner not in ("", owner_of(server)):
        text = f"The keys of a cache {cache.name} in this Redis belong to another database"
        return [Finding(Level.FAIL, "redis", text, f"{_RENAME} Redis or another number of its database")]
    return findings


async def _read_facts(cache: CacheSettings, address: RedisAddress) -> RedisFacts | list[Finding]:
    """Ask a Redis what it is, and have it run a script that touches nothing.

    Returns:
        What it is; or what our user lacks.

    Raises:
        RedisError, OSError: It cannot be asked.
    """
    client: Any = connect(
        cache.redis_url.get_secret_value(), cache.prefix, REDIS_SECONDS, REDIS_SECONDS
    )  # its commands are not typed
    try:
        cluster_url = address.topology is Topology.CLUSTER
        if missing := await missing_rights(client, cache.prefix, cluster=cluster_url):
            return missing
        info = await client.info()
        cluster = await _cluster_info(client) if info.get("cluster_enabled") else {}
        try:
            stops_writes = (await client.config_get(_STOPS_WRITES)).get(_STOPS_WRITES) != "no"
        except ResponseError:
            stops_writes = True  # whoever hosts it does not show its settings
        facts = read_facts(info, cluster, stops_writes)
        if not failed(judge_redis(facts, address, log_is_there=False)):
            await client.eval("#!lua flags=no-writes\nreturn 1", 0)
        return facts
    finally:
        await client.aclose()


async def _cluster_info(client: Any) -> Mapping[str, object]:
    try:
        found: Mapping[str, object] = await client.execute_command("CLUSTER INFO")
    except ResponseError:
        return {}  # whoever hosts it, or our user's rights, do not show it
    return found


async def dead_letter_findings(cache: CacheSettings) -> list[Finding]:
    """Say how many log records an invalidator could not read lately."""
    client = connect(cache.redis_url.get_secret_value(), cache.prefix, REDIS_SECONDS, None)
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
    where = f"Kafka (topic {cache.topic})" if cache.kafka is not None else "Redis"
    try:
        owner = await log_owner(cache)
        weak = await check_log_settings(cache)
    except LogAbsent:
        text = f"There is no event log in {where} yet; the CDC service makes it when it starts"
        return [Finding(Level.OK, "event log", text)]
    except LogUnavailable as error:
        return [_no_answer(cache, mask_secrets(str(error)))]
    except LogUnsuitable as error:
        text, _, remedy = mask_secrets(str(error)).partition(": ")
        return [Finding(Level.FAIL, "event log", f"{text[:1].upper()}{text[1:]}", remedy)]
    except LogError as error:
        return [Finding(Level.FAIL, "event log", mask_secrets(str(error)))]
    if server is not None and owner not in ("", owner_of(server)):
        text = f"The event log in {where} follows another database"
        return [Finding(Level.FAIL, "event log", text, f"{_RENAME} event log")]
    answers = Finding(Level.OK, "event log", f"The event log in {where} answers")
    return [answers, *(Finding(Level.WARN, "event log", advice.text, advice.remedy) for advice in weak)]


def _no_answer(cache: CacheSettings, said: str) -> Finding:
    if cache.kafka is not None:
        text = f"No Kafka broker answers at {', '.join(cache.kafka.brokers)}"
        return Finding(Level.FAIL, "event log", f"{text} ({said})", "start it, or correct TIDEGATE_EVENT_LOG (--kafka)")
    return Finding(Level.FAIL, "event log", f"The event log cannot be read ({said})", "see what is said of Redis")
