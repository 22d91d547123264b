"""What a Redis has to be for a cache, and in which words its errors are told to people. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.shared.memory_policy import WHAT_TO_SET, policy_trouble
from services.shared.redis_address import RedisAddress, Topology
from services.shared.runtime.finding import Finding, Level, failed

_TOPIC = "redis"
_OLDEST_MAJOR = 7  # scripts that say what they do (`#!lua flags=…`)


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a Redis says of itself.

    Attributes:
        name: What it is and its version, for people.
        major: Major version of the Redis that it is compatible with.
        primary: Whether it can be written.
        shards: Primaries that share the keys between them; 1 without a cluster.
        policy: maxmemory-policy; empty: it does not say.
        limit_bytes: maxmemory; 0: none.
        used_bytes: Memory in use.
        refuses_writes: Whether it refuses them because it could not save its data to disk.
    """

    name: str
    major: int
    primary: bool
    shards: int
    policy: str
    limit_bytes: int
    used_bytes: int
    refuses_writes: bool


def read_facts(info: Mapping[str, object], cluster: Mapping[str, object], stops_writes: bool) -> RedisFacts:
    """Read what commands have replied.

    Args:
        info: INFO.
        cluster: CLUSTER INFO; empty where there is none.
        stops_writes: stop-writes-on-bgsave-error.
    """
    version = str(info.get("redis_version", "0"))
    valkey = info.get("valkey_version")
    return RedisFacts(
        name=f"Valkey {valkey}" if valkey else f"Redis {version}",
        major=int(version.partition(".")[0] or 0),
        primary=info.get("role", "master") == "master",
        shards=int(str(cluster.get("cluster_size", 1))) or 1,
        policy=str(info.get("maxmemory_policy", "")),
        limit_bytes=int(str(info.get("maxmemory", 0))),
        used_bytes=int(str(info.get("used_memory", 0))),
        refuses_writes=stops_writes and info.get("rdb_last_bgsave_status", "ok") != "ok",
    )


def judge_redis(facts: RedisFacts, address: RedisAddress, *, log_is_there: bool) -> list[Finding]:
    """Judge a Redis.

    Args:
        facts: What it is.
        address: How it is named in the settings.
        log_is_there: Whether it holds the event log too.
    """
    findings = list(_judge(facts, address, log_is_there=log_is_there))
    if failed(findings):
        return findings
    return [
        Finding(Level.OK, _TOPIC, f"{facts.name} answers, and its maxmemory-policy keeps what must stay"),
        *findings,
    ]


def _judge(facts: RedisFacts, address: RedisAddress, *, log_is_there: bool) -> Iterable[Finding]:
    if facts.major < _OLDEST_MAJOR:
        text = f"This is {facts.name}; Tidegate needs Redis {_OLDEST_MAJOR} or Valkey"
        yield Finding(Level.FAIL, _TOPIC, text, "upgrade it, or name another in TIDEGATE_REDIS_URL")
    if not facts.primary:
        text = "This Redis is a replica, which cannot be written"
        yield Finding(Level.FAIL, _TOPIC, text, "name its primary in TIDEGATE_REDIS_URL")
    if facts.shards > 1 and address.topology is not Topology.CLUSTER:
        text = f"This is a Redis Cluster of {facts.shards} primaries, and the URL names one server"
        yield Finding(Level.FAIL, _TOPIC, text, _CLUSTER_URL)
    if address.tls is not None and not (address.tls.verify and address.tls.check_hostname):
        text = "The certificate of Redis is not verified, so whoever is in between may read and change everything"
        yield Finding(Level.WARN, _TOPIC, text, "take ssl_cert_reqs and ssl_check_hostname out of TIDEGATE_REDIS_URL")
    if trouble := policy_trouble(facts.policy):
        text, _, remedy = trouble.partition(": ")
        yield Finding(Level.FAIL, _TOPIC, text, remedy)
    if not facts.policy:
        text = "Redis does not show its maxmemory-policy, and one that deletes keys without a time to live does not do"
        yield Finding(Level.WARN, _TOPIC, text, f"see that it is {WHAT_TO_SET}")
    if facts.refuses_writes:
        text = "Redis refuses every write, because it could not save its data to disk"
        remedy = "make room there; or, for a cache needs no copy on disk: CONFIG SET stop-writes-on-bgsave-error no"
        yield Finding(Level.FAIL, _TOPIC, text, remedy)
    if facts.policy == "noeviction" and 0 < facts.limit_bytes <= facts.used_bytes:
        so = (
            "changes cannot be written to the event log, and nothing is cached" if log_is_there else "no answer is kept"
        )
        text = f"Redis is full ({facts.used_bytes:,} of {facts.limit_bytes:,} bytes): {so}"
        remedy = "raise maxmemory, or set maxmemory-policy to volatile-lru"
        yield Finding(Level.FAIL if log_is_there else Level.WARN, _TOPIC, text, remedy)


def explain_redis(address: RedisAddress, error: Exception) -> Finding:
    """Say in a sentence why a Redis cannot be used, and what to do."""
    place = address.place
    said = " ".join(str(error).split()) or "no answer in time"
    for clue, sentence, remedy in (
        ("redis+cluster://", f"Redis at {place} is a cluster", _CLUSTER_URL),
        ("cluster support disabled", f"Redis at {place} is no cluster", "name it as redis:// or redis+sentinel://"),
        ("knows no service", f"The Sentinels at {place} do not know the service", "correct its name"),
        ("knows nobody who has the slot", f"The cluster at {place} has nobody for our keys", "redis-cli --cluster fix"),
        ("without any password configured", f"Redis at {place} has no password, and TIDEGATE_REDIS_URL gives one", ""),
        ("invalid username-password", f"The password for Redis at {place} is wrong", ""),
        ("WRONGPASS", f"The password for Redis at {place} is wrong", ""),
        ("uthentication required", f"Redis at {place} asks for a password", "redis://:PASSWORD@HOST:PORT/DB"),
        ("no permissions", f"Our user may not do in Redis at {place} what has to be done", _RIGHTS),
        ("NOPERM", f"Our user may not do in Redis at {place} what has to be done", _RIGHTS),
        ("max number of clients", f"Redis at {place} takes no more connections", "raise maxclients, or close some"),
        ("DB index is out of range", f"Redis at {place} has no database of that number", "name one below `databases`"),
        ("loading", f"Redis at {place} is still loading its data", "try again in a moment"),
        ("certificate verify failed", f"The certificate of Redis at {place} cannot be verified", _ROOTS),
        ("SSL", f"There is no TLS with Redis at {place}", "redis:// speaks none, rediss:// does"),
        ("ssl", f"There is no TLS with Redis at {place}", "redis:// speaks none, rediss:// does"),
        ("Name or service not known", f"The host of Redis at {place} is not known", ""),
        ("name resolution", f"The host of Redis at {place} cannot be looked up", ""),
        ("Error 111", f"Nothing listens at {place}", "start Redis there, or correct TIDEGATE_REDIS_URL"),
        ("onnection refused", f"Nothing listens at {place}", "start Redis there, or correct TIDEGATE_REDIS_URL"),
        ("Error 2 ", f"There is no socket {place}", "start Redis there, or correct TIDEGATE_REDIS_URL"),
        ("closed by server", f"Who answers at {place} is no Redis, or speaks TLS", "rediss:// speaks TLS"),
        ("rotocol", f"Who answers at {place} is no Redis", ""),
        ("imeout", f"Redis at {place} does not answer", _SILENT),
        ("no answer in time", f"Redis at {place} does not answer", _SILENT),
    ):
        if clue in said:
            return Finding(Level.FAIL, _TOPIC, f"{sentence} ({said})", remedy or "correct TIDEGATE_REDIS_URL")
    text = f"Redis at {place} cannot be used ({said})"
    return Finding(Level.FAIL, _TOPIC, text, "start it, or correct TIDEGATE_REDIS_URL")


_RIGHTS = "docs/redis.md has the rule for ACL SETUSER"
_CLUSTER_URL = "redis+cluster://HOST:PORT[,HOST:PORT] (rediss+cluster:// with TLS)"
_ROOTS = "rediss://…?ssl_ca_certs=FILE names who has signed it"
_SILENT = "correct host and port, open the firewall, or see whether it speaks TLS (rediss:// does, redis:// does not)"
