"""TLS with Redis: certificate and host name are verified unless the URL says otherwise."""

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from services.shared.redis_client import connect
from tests.servers.certificates import Authority
from tests.servers.processes import free_port
from tests.servers.redis import RedisServer


class _TlsRedis:
    """A Redis whose certificate is for `localhost` alone, that wants to see one of its clients."""

    def __init__(self, server: RedisServer, authority: Authority) -> None:
        self.server = server
        self.ca = f"ssl_ca_certs={authority.certificate}"
        client = authority.issue(common_name="tidegate")
        self.us = f"ssl_certfile={client.certificate}&ssl_keyfile={client.key}"

    def ping(self, host: str, *options: str) -> str:
        """Connect, and return why that was refused; empty if it was not."""

        async def ask() -> str:
            url = f"rediss://{host}:{self.server.settings['tls-port']}/0?{'&'.join(options)}"
            client = connect(url, "tidegate:{shop}:", 2.0, 2.0)
            try:
                await client.ping()
            except (RedisError, OSError) as error:
                return str(error) or type(error).__name__
            finally:
                await client.aclose()
            return ""

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def tls_redis() -> Iterator[_TlsRedis]:
    """Debian's Redis; the wheel's Valkey speaks no TLS."""
    authority = Authority()
    own = authority.issue("localhost")
    settings: dict[str, str | int] = {
        "tls_port": free_port(),
        "tls_cert_file": str(own.certificate),
        "tls_key_file": str(own.key),
        "tls_ca_cert_file": str(authority.certificate),
    }
    with RedisServer("redis", **settings) as server:
        yield _TlsRedis(server, authority)


def test_a_certificate_that_is_right_is_accepted(tls_redis: _TlsRedis) -> None:
    assert tls_redis.ping("localhost", tls_redis.ca, tls_redis.us) == ""


def test_one_that_nobody_vouches_for_is_refused_unless_the_url_says_otherwise(tls_redis: _TlsRedis) -> None:
    assert "certificate verify failed" in tls_redis.ping("localhost", tls_redis.us)
    assert tls_redis.ping("localhost", tls_redis.us, "ssl_cert_reqs=none") == ""


def test_one_for_another_host_is_refused_unless_the_url_says_otherwise(tls_redis: _TlsRedis) -> None:
    assert "IP address mismatch" in tls_redis.ping("127.0.0.1", tls_redis.ca, tls_redis.us)
    assert tls_redis.ping("127.0.0.1", tls_redis.ca, tls_redis.us, "ssl_check_hostname=false") == ""


def test_a_server_that_asks_for_ours_gets_it(tls_redis: _TlsRedis) -> None:
    assert tls_redis.ping("localhost", tls_redis.ca) != ""
