"""`tidegate check`: everything that a person can get wrong, and how to mend it. It changes nothing."""

import asyncio
import time

from services.installation.database_check import DatabaseLook, look_at_database
from services.installation.identity_check import identity_findings
from services.installation.ownership import read_bucket
from services.installation.proxy_check import proxy_findings
from services.installation.replica_check import replica_findings
from services.installation.store_check import dead_letter_findings, log_findings, redis_findings
from services.shared.keyspace.scripts import BucketUnavailable
from services.shared.lsn import Lsn
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.settings import CacheSettings

_CATCHING_UP_SECONDS = 3.0
"""How long the invalidator may take to come to where the database was: it needs milliseconds."""

_POLL_SECONDS = 0.05


async def check_cache(cache: CacheSettings, measure_seconds: float = 0.0) -> list[Finding]:
    """Look at everything that a cache depends on.

    Args:
        cache: The cache.
        measure_seconds: How long to watch how much tables change that would gain from another replica identity; 0: go
            by what Postgres has counted.
    """
    database = await look_at_database(cache)
    redis = await redis_findings(cache, database.server)
    log = [] if failed(redis) and cache.kafka is None else await log_findings(cache, database.server)
    proxy = await proxy_findings(cache) if database.server is not None else []
    replica = await replica_findings(cache, database.server) if database.server is not None else []
    letters = [] if failed(redis) else await dead_letter_findings(cache)
    findings = [*database.findings, *replica, *proxy, *redis, *log, *letters]
    if database.read_up_to is not None and not failed([*redis, *log]):
        findings.append(await _freshness_finding(cache, database, database.read_up_to))
    if database.server is not None and not failed(redis):
        findings += await identity_findings(cache, measure_seconds)
    return findings


async def _freshness_finding(cache: CacheSettings, database: DatabaseLook, read_up_to: Lsn) -> Finding:
    """See whether the invalidator comes to where the database was just now."""
    began_at = time.monotonic()
    while time.monotonic() < began_at + _CATCHING_UP_SECONDS:
        try:
            state = await read_bucket(cache)
        except BucketUnavailable:
            break
        if state.watermark >= read_up_to and state.owner:
            return Finding(Level.OK, "freshness", "The cache is kept fresh: CDC service and invalidator are at work")
        await asyncio.sleep(_POLL_SECONDS)
    text = f"The invalidator has not come to where the database was {_CATCHING_UP_SECONDS:g} s ago: nothing is served"
    remedy = "start `tidegate invalidator`, or look at its log and that of the CDC service"
    return Finding(Level.WARN, "freshness", text, remedy)
