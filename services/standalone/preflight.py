"""Look at what is given before anything is started on it: is all there that Tidegate needs?

Each finding is one plain sentence and what to do about it. The services check again for themselves; here a person waits
at a terminal and should read the reason, not the restarts of a child.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import namedtuple_row
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.proxy.tls.identity import watch_identity
from services.shared.runtime.addresses import split_address
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings, TlsMode
from services.shared.runtime.upstream import Upstream
from services.shared.upstream_tls import make_upstream_tls

OLDEST_MAJOR = 14
_PATIENCE_SECONDS = 5

_FACTS = """
SELECT current_setting('server_version_num')::int / 10000 AS major,
       pg_is_in_recovery() AS standby,
       current_setting('wal_level') AS wal_level,
       current_setting('max_replication_slots')::int AS slots,
       (SELECT count(*) FROM pg_replication_slots)::int AS slots_taken,
       EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(slot)s) AS slot_known,
       current_setting('max_wal_senders')::int AS senders,
       current_setting('max_slot_wal_keep_size') AS slot_cap,
       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
         OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'MEMBER'))
         AS may_replicate,
       has_database_privilege(current_user, current_database(), 'CREATE') AS may_create,
       current_user AS role, current_database() AS database
"""


class PreflightError(Refusal):
    """The database cannot be used as it is. The message is for people."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a database says of itself; see `_FACTS`."""

    major: int
    standby: bool
    wal_level: str
    slots: int
    slots_taken: int
    slot_known: bool
    senders: int
    slot_cap: str
    may_replicate: bool
    may_create: bool
    role: str
    database: str


async def check_database(upstream: Upstream, slot: str) -> list[str]:
    """Check a database.

    Args:
        upstream: Where it is.
        slot: The replication slot that will be used; one that exists needs no free place.

    Returns:
        What is worth a warning.

    Raises:
        PreflightError: It cannot be reached or used.
    """
    try:
        async with await psycopg.AsyncConnection.connect(
            upstream.url,
            autocommit=True,
            connect_timeout=_PATIENCE_SECONDS,
            application_name="tidegate-up",
            row_factory=namedtuple_row,
        ) as connection:
            row = await (await connection.execute(_FACTS, {"slot": slot})).fetchone()
    except psycopg.Error as error:
        raise PreflightError(explain_failure(upstream, error)) from error
    assert row is not None, "a SELECT of facts has one row"
    facts = Facts(**row._asdict())
    problems = find_problems(facts)
    if problems:
        raise PreflightError("\n".join(problems))
    return find_warnings(facts)


def check_tls_files(cache: CacheSettings) -> None:
    """Read the certificates that are given, for either side.

    Raises:
        Refusal: One cannot be used.
    """
    if cache.tls is not TlsMode.OFF and cache.tls_certificate is not None and cache.tls_key is not None:
        watch_identity(cache.tls_certificate, cache.tls_key)
    if cache.upstream.sslmode != "disable":
        make_upstream_tls(cache.upstream)


async def check_redis(url: str) -> None:
    """Check a given Redis.

    Raises:
        PreflightError: It cannot be reached or used.
    """
    client = Redis.from_url(url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS)
    try:
        await client.ping()
    except (RedisError, OSError) as error:
        raise PreflightError(
            f"Redis cannot be reached: start it, or correct TIDEGATE_REDIS_URL. ({mask_secrets(str(error))})"
        ) from error
    finally:
        await client.aclose()


async def check_brokers(bootstrap: Sequence[str]) -> None:
    """Check that one of the given Kafka brokers, at least, is there.

    Raises:
        PreflightError: None is.
    """
    for address in bootstrap:
        host, port = split_address(address)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
    if bootstrap:
        raise PreflightError(f"No Kafka broker answers at {', '.join(bootstrap)}: start it, or correct --kafka.")


def find_problems(facts: Facts) -> list[str]:
    """Return what keeps Tidegate from working, each as a sentence with its remedy."""
    checks = (
        (
            facts.major < OLDEST_MAJOR,
            f"The server is Postgres {facts.major}; Tidegate needs {OLDEST_MAJOR} or newer.",
        ),
        (
            facts.standby,
            "The server is a standby, which cannot say what is committed: name the primary.",
        ),
        (
            facts.wal_level != "logical",
            f"wal_level is {facts.wal_level}, and changes can only be followed with wal_level = logical: "
            "ALTER SYSTEM SET wal_level = 'logical', then restart Postgres.",
        ),
        (
            not facts.may_replicate,
            f'The role "{facts.role}" may not replicate: ALTER ROLE "{facts.role}" REPLICATION, or name another role.',
        ),
        (
            not facts.may_create,
            f'The role "{facts.role}" may not create a publication: '
            f'GRANT CREATE ON DATABASE "{facts.database}" TO "{facts.role}".',
        ),
        (
            not facts.slot_known and facts.slots_taken >= facts.slots,
            f"All {facts.slots} replication slots are taken: drop one that nobody uses (pg_replication_slots), "
            "or raise max_replication_slots and restart Postgres.",
        ),
        (
            facts.senders == 0,
            "max_wal_senders is 0: raise it to 10 and restart Postgres.",
        ),
    )
    return [sentence for found, sentence in checks if found]


def find_warnings(facts: Facts) -> list[str]:
    """Return what works, but not as well as it could."""
    if facts.slot_cap == "-1":
        return [
            "max_slot_wal_keep_size is unlimited, so the replication slot is a temporary one: after a restart the "
            "cache begins cold. With ALTER SYSTEM SET max_slot_wal_keep_size = '4GB' it is kept."
        ]
    return []


def explain_failure(upstream: Upstream, error: psycopg.Error) -> str:
    """Say in a sentence why a database cannot be reached, and what to do."""
    place = f"{upstream.host}:{upstream.port}"
    said = mask_secrets(" ".join(str(error).split()))
    for clue, sentence in (
        ("password authentication failed", f'The password for the role "{upstream.user}" is wrong.'),
        ("no password supplied", f'The server asks for a password for the role "{upstream.user}": put it in the URL.'),
        ("no pg_hba.conf entry", f'The server does not let "{upstream.user}" in from here: add a line to pg_hba.conf.'),
        ("too many clients", "The server has no free connection: raise max_connections, or close some."),
        ("does not support SSL", "The server does not speak TLS, and the URL demands it: change sslmode."),
        (
            "certificate verify failed",
            "The server's certificate cannot be verified: name its authority in sslrootcert.",
        ),
        ("starting up", f"The server at {place} is still starting: try again in a moment."),
        ("Connection refused", f"Nothing listens at {place}: start Postgres, or correct host and port."),
        ("timeout", f"{place} does not answer: correct host and port, or open the firewall."),
        ("Name or service not known", f'The host "{upstream.host}" is not known: correct its name.'),
        ("name resolution", f'The host "{upstream.host}" cannot be looked up: correct its name.'),
        (
            "No such file or directory",
            f"There is no Postgres socket in {upstream.host}: start Postgres, or name a host.",
        ),
    ):
        if clue in said:
            return f"{sentence} ({said})"
    if "database" in said and "does not exist" in said:
        return f'There is no database "{upstream.database}" at {place}: create it, or name another. ({said})'
    if "role" in said and "does not exist" in said:
        return f'There is no role "{upstream.user}" at {place}: create it, or name another. ({said})'
    return f"The database at {place} cannot be reached: {said}"
