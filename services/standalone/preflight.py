"""Look at what is given before anything is started on it: is all there that Tidegate needs?

It is looked at as `tidegate check` does, and said in the same words. The services check again for themselves; here a
person waits at a terminal and should read the reason, not the restarts of a child.
"""

from collections.abc import Sequence

from services.installation.database_check import look_at_database
from services.installation.store_check import log_findings, redis_findings
from services.proxy.tls.identity import watch_identity
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.settings import CacheSettings, TlsMode
from services.shared.upstream_tls import make_upstream_tls


class PreflightError(Refusal):
    """What is given cannot be used as it is. The message is for people."""


async def check_database(cache: CacheSettings) -> list[str]:
    """Check a given database.

    Returns:
        What is worth a note: what the CDC service will mend, and what it cannot.

    Raises:
        PreflightError: It cannot be reached or used.
    """
    look = await look_at_database(cache)
    _refuse(look.demands)
    return [str(finding) for finding in look.findings if finding.level is not Level.OK]


def check_tls_files(cache: CacheSettings) -> None:
    """Read the certificates that are given, for either side.

    Raises:
        Refusal: One cannot be used.
    """
    if cache.tls is not TlsMode.OFF and cache.tls_certificate is not None and cache.tls_key is not None:
        watch_identity(cache.tls_certificate, cache.tls_key)
    if cache.upstream.sslmode != "disable":
        make_upstream_tls(cache.upstream)


async def check_redis(cache: CacheSettings) -> None:
    """Check a given Redis.

    Raises:
        PreflightError: It cannot be reached or used.
    """
    _refuse(await redis_findings(cache, None))


async def check_brokers(cache: CacheSettings) -> None:
    """Check the given Kafka brokers, and the topic if there is one.

    Raises:
        PreflightError: They cannot be reached, or the topic would lose events.
    """
    if cache.kafka is not None:
        _refuse(await log_findings(cache, None))


def _refuse(findings: Sequence[Finding]) -> None:
    if reasons := failed(findings):
        raise PreflightError("\n".join(map(str, reasons)))
