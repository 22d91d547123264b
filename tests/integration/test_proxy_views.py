"""Views: cached as what they read, evicted by what changes it, and read anew when their definition changes."""

from collections.abc import Iterator

import pytest

from tests.integration.proxied_postgres import Connection, ProxiedPostgres, proxied_postgres
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE people (id int PRIMARY KEY, name text, active bool);
CREATE TABLE visits (id int PRIMARY KEY, person int, pages int);
INSERT INTO people VALUES (1, 'ann', true), (2, 'bob', false);
INSERT INTO visits VALUES (1, 1, 3), (2, 1, 4), (3, 2, 5);
CREATE VIEW active AS SELECT id, name FROM people WHERE active;
CREATE VIEW totals AS
    SELECT a.name, sum(v.pages) AS pages FROM active a LEFT JOIN visits v ON v.person = a.id GROUP BY 1;
CREATE ROLE guest LOGIN; GRANT SELECT ON active TO guest;
"""
_READS = ("SELECT * FROM active ORDER BY id", "SELECT * FROM totals ORDER BY name", "SELECT count(*) FROM totals")
_CHANGES = (
    "UPDATE people SET active = true WHERE id = 2",
    "UPDATE visits SET pages = 40 WHERE id = 2",
    "INSERT INTO visits VALUES (4, 2, 1)",
    "DELETE FROM people WHERE id = 1",
    "INSERT INTO people VALUES (3, 'eve', true)",
    "CREATE OR REPLACE VIEW active AS SELECT id, upper(name) AS name FROM people WHERE active",
    "ALTER TABLE people RENAME TO persons",
    "UPDATE persons SET name = 'eva' WHERE id = 3",
    "TRUNCATE visits",
)


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def proxied(request: pytest.FixtureRequest) -> Iterator[ProxiedPostgres]:
    with proxied_postgres(version=request.param, sql=_SQL, environ={"TIDEGATE_CATALOG_POLL": "100ms"}) as started:
        yield started


def _rows(connection: Connection, read: str) -> list[tuple[object, ...]]:
    return connection.execute(read, prepare=False).fetchall()


def test_what_is_read_of_a_view_is_what_postgres_says(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as client, proxied.server.connect() as direct:
        for change in _CHANGES:
            for read in _READS:
                proxied.wait_all_cached(lambda: _rows(client, read), 3)  # noqa: B023
            direct.execute(change)
            for read in _READS:
                expected = _rows(direct, read)
                wait_until(lambda: _rows(client, read) == expected, f"{read} behind {change}", 5.0)  # noqa: B023


def test_who_may_read_a_view_reads_it_by_its_owners_rights(proxied: ProxiedPostgres) -> None:
    with proxied.connect("guest") as guest:
        proxied.wait_cached(lambda: _rows(guest, _READS[0]))
