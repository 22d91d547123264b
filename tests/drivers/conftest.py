"""The database that every driver reads, behind the stack with its defaults."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.servers.certificates import Authority

_SQL = """
CREATE TABLE kinds (
    id int PRIMARY KEY, name text, price numeric(10, 2), at timestamptz, day date, code uuid, detail jsonb, body bytea,
    tags text[], paid bool, weight float8, big bigint
);
INSERT INTO kinds SELECT
    i, 'name ' || i, i * 1.25, '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 hour', '2026-01-01'::date + i,
    md5(i::text)::uuid, jsonb_build_object('n', i), '\\x00ff', ARRAY['a', 'b' || i], i % 2 = 0, i / 4.0,
    i * 1000000000000
    FROM generate_series(1, 5000) i;
INSERT INTO kinds (id) VALUES (0);
CREATE TABLE notes (id int PRIMARY KEY, body text);
CREATE SCHEMA other;
CREATE TABLE other.kinds (id int PRIMARY KEY, name text);
INSERT INTO other.kinds SELECT i, 'other ' || i FROM generate_series(1, 10) i;
CREATE ROLE app LOGIN PASSWORD 'app';
GRANT ALL ON kinds, notes TO app;
GRANT USAGE ON SCHEMA other TO app;
GRANT ALL ON other.kinds TO app;
"""


@pytest.fixture(scope="session")
def proxied() -> Iterator[ProxiedPostgres]:
    """Postgres with a table of common types, one of notes that tests write, and the stack."""
    with proxied_postgres(sql=_SQL) as started:
        started.server.allow("host all app 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 trust")
        yield started


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Who signs what the servers show."""
    made = Authority()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def secured(authority: Authority) -> Iterator[ProxiedPostgres]:
    """The same with TLS on both sides, and logins that may be bound to it (`auth = scram`)."""
    shown = authority.issue("127.0.0.1")
    environ = {
        "TIDEGATE_AUTH": "scram",
        "TIDEGATE_TLS_CERTIFICATE": str(shown.certificate),
        "TIDEGATE_TLS_KEY": str(shown.key),
    }
    with proxied_postgres(
        version="17",
        sql=_SQL,
        environ=environ,
        hba=["hostssl all app 127.0.0.1/32 scram-sha-256", "host all postgres 127.0.0.1/32 trust"],
        upstream_query=f"sslmode=verify-full&sslrootcert={quote(str(authority.certificate), safe='')}",
        **authority.postgres_settings(authority.issue("127.0.0.1")),
    ) as started:
        yield started


@pytest.fixture(autouse=True)
def _fresh(proxied: ProxiedPostgres) -> None:
    """Begin with no notes and with the first names."""
    proxied.server.execute("TRUNCATE notes; UPDATE kinds SET name = 'name ' || id WHERE name != 'name ' || id")


@pytest.fixture(autouse=True)
def _nothing_crashed(proxied: ProxiedPostgres, _fresh: None) -> Iterator[None]:
    yield
    assert "Traceback" not in proxied.stack.process.log()
