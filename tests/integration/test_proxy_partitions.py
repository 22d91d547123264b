"""Partitioned tables: cached under the name that statements use, evicted by what happens to their partitions."""

import pytest

from tests.integration.proxied_postgres import Connection, ProxiedPostgres
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE events (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE events_2_odd PARTITION OF events_2 FOR VALUES IN (1, 3, 5);
CREATE TABLE events_2_even (at date NOT NULL, v text, id int NOT NULL, PRIMARY KEY (id, at));
ALTER TABLE events_2 ATTACH PARTITION events_2_even FOR VALUES IN (2, 4, 6);
INSERT INTO events VALUES (1, '2026-01-05', 'a'), (2, '2026-01-06', 'b');
INSERT INTO events VALUES (3, '2026-02-05', 'c'), (4, '2026-02-06', 'd');
"""
_ALL = "SELECT id, v FROM events ORDER BY id, v"
_SECONDS = 10.0  # for an eviction, which takes milliseconds, and for the catalog to be looked at


@pytest.fixture
def proxied(eager: ProxiedPostgres) -> ProxiedPostgres:
    """With a partitioned table as good as new."""
    eager.server.execute("DROP TABLE IF EXISTS events, events_2_even, loose")
    eager.server.execute(_SQL)
    return eager


def _rows(connection: Connection, read: str) -> list[tuple[object, ...]]:
    return connection.execute(read, prepare=False).fetchall()


def test_what_is_read_of_a_partitioned_table_is_what_postgres_says(proxied: ProxiedPostgres) -> None:
    reads = (
        _ALL,
        "SELECT v FROM events WHERE id = 3 AND at = '2026-02-05'",
        "SELECT count(*) FROM events_2",
        "SELECT v FROM events_2_odd WHERE id = 3",
        "SELECT count(*) FROM events_1 e JOIN events USING (id)",
    )
    changes = (
        "UPDATE events SET v = 'c2' WHERE id = 3",
        "UPDATE events_2_odd SET v = 'c3'",
        "UPDATE events SET at = '2026-02-07' WHERE id = 1",  # moves to another partition
        "INSERT INTO events_2 VALUES (5, '2026-02-05', 'e'), (6, '2026-02-05', 'f')",
        "DELETE FROM events_2_even WHERE id = 6",
        "TRUNCATE events_2_odd",
        "INSERT INTO events VALUES (3, '2026-02-05', 'again')",
        "ALTER TABLE events_2 DETACH PARTITION events_2_even",
        "UPDATE events_2_even SET v = 'on its own'; INSERT INTO events_2_even VALUES ('2026-02-09', 'late', 4)",
        "ALTER TABLE events_2 ATTACH PARTITION events_2_even FOR VALUES IN (2, 4, 6)",
        "UPDATE events_2_even SET v = 'a part again'",
        "CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        "INSERT INTO events VALUES (7, '2026-03-05', 'new')",
        "UPDATE events SET v = 'newer' WHERE id = 7",
        "TRUNCATE events",
    )
    with proxied.connect() as connection, proxied.server.connect() as direct:
        for read in reads:
            proxied.wait_cached(lambda read=read: _rows(connection, read))  # type: ignore[misc]
        for change in changes:
            direct.execute(change)
            for read in reads:
                expected = _rows(direct, read)
                wait_until(lambda: _rows(connection, read) == expected, f"{read} behind {change}", _SECONDS)  # noqa: B023
        for read in reads:
            proxied.wait_cached(lambda read=read: _rows(connection, read))  # type: ignore[misc]


def test_a_session_reads_what_it_wrote_by_another_name(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as connection:
        proxied.wait_cached(lambda: _rows(connection, _ALL))
        for number in range(20):
            connection.execute(f"UPDATE events_1 SET v = 'by the part {number}'", prepare=False)
            assert _rows(connection, _ALL)[0] == (1, f"by the part {number}")
            connection.execute(f"UPDATE events SET v = 'by the whole {number}'", prepare=False)
            assert _rows(connection, "SELECT id, v FROM events_1 ORDER BY id")[0] == (1, f"by the whole {number}")


def test_a_partition_whose_rows_cannot_be_followed_keeps_the_whole_out_of_the_cache(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as connection:
        proxied.wait_cached(lambda: _rows(connection, _ALL))
        proxied.server.execute(
            "CREATE UNLOGGED TABLE loose (id int NOT NULL, at date NOT NULL, v text, PRIMARY KEY (id, at));"
            "ALTER TABLE events ATTACH PARTITION loose FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')"
        )
        wait_until(lambda: not proxied.is_hit(lambda: _rows(connection, _ALL)), "it to be forwarded", _SECONDS)
        proxied.wait_cached(lambda: _rows(connection, "SELECT v FROM events_1 ORDER BY v"))
        for number in range(3):
            proxied.server.execute(f"INSERT INTO loose VALUES ({100 + number}, '2027-01-05', 'not in the WAL')")
            assert _rows(connection, _ALL)[-1][0] == 100 + number
