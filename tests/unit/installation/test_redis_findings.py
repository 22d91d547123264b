"""What is said of a Redis, and of one that cannot be used."""

from dataclasses import replace

import pytest

from services.installation.redis_findings import RedisFacts, explain_redis, judge_redis
from services.shared.redis_address import parse_redis_url
from services.shared.runtime.finding import Level

_HERE = parse_redis_url("redis://cache:6380/0")
_GOOD = RedisFacts("Valkey 9.1.0", 7, True, 1, "volatile-lru", 0, 1 << 20, False)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (_GOOD, Level.OK, "Valkey 9.1.0 answers"),
        (replace(_GOOD, major=6), Level.FAIL, "needs Redis 7"),
        (replace(_GOOD, primary=False), Level.FAIL, "is a replica"),
        (replace(_GOOD, shards=3), Level.FAIL, "Redis Cluster of 3 primaries"),
        (replace(_GOOD, policy="allkeys-lfu"), Level.FAIL, "volatile-lru"),
        (replace(_GOOD, refuses_writes=True), Level.FAIL, "refuses every write"),
        (replace(_GOOD, policy="noeviction", limit_bytes=1 << 20), Level.FAIL, "nothing is cached"),
        (replace(_GOOD, policy="noeviction", limit_bytes=2 << 20), Level.OK, "answers"),
        (replace(_GOOD, limit_bytes=1 << 20), Level.OK, "answers"),
    ],
)
def test_what_is_said_of_a_redis(facts: RedisFacts, level: Level, words: str) -> None:
    (finding,) = judge_redis(facts, _HERE, log_is_there=True)

    assert finding.level is level
    assert words in str(finding)


def test_a_full_redis_without_the_event_log_is_no_reason_to_stop() -> None:
    findings = judge_redis(replace(_GOOD, policy="noeviction", limit_bytes=1), _HERE, log_is_there=False)

    assert [finding.level for finding in findings] == [Level.OK, Level.WARN]


def test_what_cannot_be_seen_or_is_not_verified_is_a_warning() -> None:
    unverified = parse_redis_url("rediss://cache?ssl_cert_reqs=none")
    findings = judge_redis(
        replace(_GOOD, policy="", shards=3), parse_redis_url("redis+cluster://cache"), log_is_there=True
    )

    assert [finding.level for finding in findings] == [Level.OK, Level.WARN]
    assert "does not show its maxmemory-policy" in findings[1].text
    assert "is not verified" in judge_redis(_GOOD, unverified, log_is_there=True)[1].text


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("invalid username-password pair or user is disabled.", "The password for Redis at cache:6380 is wrong"),
        ("Authentication required.", "Redis at cache:6380 asks for a password"),
        ("AUTH called without any password configured for the default user", "Redis at cache:6380 has no password"),
        ("Timeout connecting to server", "Redis at cache:6380 does not answer"),
        ("", "Redis at cache:6380 does not answer"),
        ("Error 111 connecting to cache:6380.", "Nothing listens at cache:6380"),
        ("User app has no permissions to run the 'eval' command", "Our user may not do in Redis at cache:6380"),
        ("Error 1 connecting to cache:6380. [SSL] record layer failure", "There is no TLS with Redis"),
        ("certificate verify failed: self-signed certificate", "The certificate of Redis at cache:6380"),
        ("Redis is loading the dataset in memory", "Redis at cache:6380 is still loading"),
        ("something new", "Redis at cache:6380 cannot be used (something new)"),
    ],
)
def test_an_error_is_explained_without_the_password(said: str, sentence: str) -> None:
    finding = explain_redis(parse_redis_url("redis://:hunter2@cache:6380/0"), Exception(said))

    assert finding.level is Level.FAIL
    assert finding.text.startswith(sentence)
    assert finding.remedy
    assert "hunter2" not in str(finding)
