"""Every form of a Redis URL, and what is wrong with those that are none."""

from pathlib import Path

import pytest

from services.shared.redis_address import RedisAddress, RedisTls, Topology, parse_redis_url, with_checked_files
from services.shared.redis_rights import acl_rule, rights
from services.shared.runtime.redaction import mask_secrets

_DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", RedisAddress(Topology.SERVER, (("cache", 6379),))),
        ("redis://", RedisAddress(Topology.SERVER, (("localhost", 6379),))),
        ("redis://[::1]:6380/3", RedisAddress(Topology.SERVER, (("::1", 6380),), database=3)),
        ("redis://cache:1?db=2", RedisAddress(Topology.SERVER, (("cache", 1),), database=2)),
        ("redis://:p%40@cache", RedisAddress(Topology.SERVER, (("cache", 6379),), password="p@")),
        ("redis://app:p@x@cache", RedisAddress(Topology.SERVER, (("cache", 6379),), user="app", password="p@x")),
        ("rediss://cache", RedisAddress(Topology.SERVER, (("cache", 6379),), tls=RedisTls(), sentinel_tls=RedisTls())),
        ("unix:///run/r.sock?db=1", RedisAddress(Topology.SOCKET, path="/run/r.sock", database=1)),
        ("unix://u:p@/run/r.sock", RedisAddress(Topology.SOCKET, path="/run/r.sock", user="u", password="p")),
        (
            "redis+sentinel://u:p@a,b:7/main/2?sentinel_user=s&sentinel_password=q%26",
            RedisAddress(
                Topology.SENTINEL,
                (("a", 26379), ("b", 7)),
                service="main",
                database=2,
                user="u",
                password="p",
                sentinel_user="s",
                sentinel_password="q&",
            ),
        ),
        ("redis+cluster://a:1,[::2]:2", RedisAddress(Topology.CLUSTER, (("a", 1), ("::2", 2)))),
    ],
)
def test_a_url_is_taken_apart(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


def test_tls_is_verified_unless_the_url_says_otherwise() -> None:
    def tls(options: str) -> RedisTls | None:
        return parse_redis_url(f"rediss://cache?{options}").tls

    assert tls("") == RedisTls(verify=True, check_hostname=True)
    assert tls("ssl_cert_reqs=none") == RedisTls(verify=False)
    assert tls("ssl_check_hostname=no") == RedisTls(check_hostname=False)
    assert tls("ssl_ca_certs=ca&ssl_certfile=c&ssl_keyfile=k&ssl_password=p") == RedisTls("ca", "c", "k", "p")
    sentinels = parse_redis_url("rediss+sentinel://a/main?sentinel_tls=false")
    assert (sentinels.tls, sentinels.sentinel_tls) == (RedisTls(), None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://cache", "it should begin with redis://"),
        ("cache:6379", "it should begin with redis://"),
        ("unix+cluster:///x", "it should begin with redis://"),
        ("redis://cache?ssl_ca_certs=x", "without TLS"),
        ("rediss://cache?ssl_ca_cert=x", "ssl_ca_cert"),
        ("rediss://cache?ssl_cert_reqs=optional", "required or none"),
        ("rediss://cache?ssl_check_hostname=maybe", "true or false"),
        ("rediss://cache?ssl_keyfile=k", "ssl_certfile"),
        ("redis://a,b", "redis\\+sentinel"),
        ("redis://cache:x", "HOST:PORT"),
        ("redis://cache/main", "a number"),
        ("redis://cache/1/2", "too many parts"),
        ("redis+sentinel://a:1", "name the service"),
        ("redis+cluster://a/1", "no database but 0"),
        ("redis+cluster://a?db=1", "mean"),
        ("redis+cluster://a?sentinel_user=x", "sentinel_user"),
        ("unix://run/redis.sock", "absolute path"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(url: str, why: str) -> None:
    scheme, _, rest = url.partition("://")
    with pytest.raises(ValueError, match=why) as refusal:
        parse_redis_url(f"{scheme}://app:hunter2@{rest}" if rest and scheme != "unix" else url)

    assert "hunter2" not in str(refusal.value)


def test_no_secret_is_shown() -> None:
    url = "rediss+sentinel://u:hunter2@a/main?sentinel_password=hunter3&ssl_certfile=c&ssl_password=hunter4"
    address = parse_redis_url(url)

    assert set(address.secrets) == {"hunter2", "hunter3", "hunter4"}
    assert not any(secret in f"{address!r}{address.place}{mask_secrets(url)}" for secret in address.secrets)


def test_files_become_absolute_and_have_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.pem").touch()

    checked = with_checked_files("rediss://:p@cache?ssl_ca_certs=a%20b.pem&ssl_password=x%26y")
    tls = parse_redis_url(checked).tls
    assert tls == RedisTls(ca_certs=str(tmp_path / "a b.pem"), key_password="x&y")
    assert with_checked_files("redis://cache") == "redis://cache"
    with pytest.raises(ValueError, match=r"ssl_certfile should name a file, and b\.pem is none"):
        with_checked_files("rediss://cache?ssl_certfile=b.pem")


def test_the_rule_that_is_documented_is_the_one_that_is_tried() -> None:
    documented = (_DOCS / "redis.md").read_text(encoding="utf-8")

    assert acl_rule("tidegate:{shop}:", cluster=False) in documented
    cluster_only = [right.rule for right in rights(cluster=True) if right not in rights(cluster=False)]
    assert " ".join(cluster_only) in documented
