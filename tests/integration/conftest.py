"""What the tests of this ring share beside the servers."""

from collections.abc import Iterator

import pytest

from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.servers.postgres_programs import NEWEST, OLDEST

_SQL = """
CREATE TABLE people (id int PRIMARY KEY, name text, age int, note text);
INSERT INTO people SELECT i, 'person ' || i, 20 + i % 50, NULL FROM generate_series(1, 1000) i;
CREATE TABLE orders (
    id bigint PRIMARY KEY, person int REFERENCES people ON DELETE CASCADE, total numeric(10, 2), placed timestamptz,
    tags text[], detail jsonb, code uuid, body bytea, paid bool, weight float8, day date, small int2
);
INSERT INTO orders SELECT
    i, i % 1000 + 1, i * 1.5, '2026-01-01 00:00:00+00'::timestamptz + i * interval '1 hour', ARRAY['a', 'b' || i, NULL],
    jsonb_build_object('n', i), md5(i::text)::uuid, decode(md5(i::text), 'hex'), i % 2 = 0, i / 3.0, '2026-01-01', i
    FROM generate_series(1, 200) i;
INSERT INTO orders (id) VALUES (1000);
"""


@pytest.fixture(scope="session")
def cached() -> Iterator[ProxiedPostgres]:
    """The newest Postgres behind the stack with its defaults, for all that leaves `people` and `orders` as they are."""
    with proxied_postgres(sql=_SQL) as started:
        yield started


@pytest.fixture(scope="session", params=[NEWEST, OLDEST])
def eager(request: pytest.FixtureRequest) -> Iterator[ProxiedPostgres]:
    """The newest and the oldest Postgres in turn, behind a stack that looks at the catalog often.

    It is for tests that wait for many a change of tables, which they make and drop themselves.
    """
    with proxied_postgres(version=request.param, environ={"TIDEGATE_CATALOG_POLL": "100ms"}) as started:
        yield started
