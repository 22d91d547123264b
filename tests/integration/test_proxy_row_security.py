"""Row security: what one tenant or role may see never reaches another, and what is cached is what Postgres says."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.integration.proxied_postgres import Connection, ProxiedPostgres, proxied_postgres
from tests.integration.row_security_play import SCHEMA, Play, drop_policies, outcome, policies
from tests.servers.postgres import PostgresServer
from tests.servers.processes import wait_until

_PLAYS, _ROUNDS = 6, 100
_POLL_SECONDS = 5.0
_MARKER = "SELECT max(n) FROM marker"


@pytest.fixture(scope="module")
def proxied() -> Iterator[ProxiedPostgres]:
    with proxied_postgres(sql=SCHEMA, environ={"TIDEGATE_CATALOG_POLL": "100ms"}) as started:
        yield started


class _Catalog:
    """Changes definitions, and waits until the proxy goes by them: it looks at all of the catalog at once."""

    def __init__(self, proxied: ProxiedPostgres) -> None:
        self._proxied = proxied
        self._marked = 0

    def change(self, direct: Connection, *statements: str) -> None:
        proxied = self._proxied
        with proxied.connect() as client:
            proxied.wait_cached(lambda: outcome(client, _MARKER))
            self._marked += 1
            with direct.transaction():
                for statement in statements:
                    direct.execute(statement.encode())
                direct.execute(f"CREATE OR REPLACE VIEW marker AS SELECT {self._marked} AS n FROM members".encode())
            wait_until(lambda: outcome(client, _MARKER) == [(self._marked,)], "the new catalog", _POLL_SECONDS)


@pytest.fixture(scope="module")
def catalog(proxied: ProxiedPostgres) -> _Catalog:
    return _Catalog(proxied)


def test_no_session_ever_sees_what_another_may(proxied: ProxiedPostgres, catalog: _Catalog) -> None:
    before = proxied.hits()
    with proxied.server.connect() as direct:
        for seed in range(_PLAYS):
            chance = Random(seed)
            made = policies(chance)
            catalog.change(direct, *drop_policies(direct), *made)
            play = Play(proxied, chance, [f"seed {seed}", *made])
            play.run(_ROUNDS)
    assert proxied.hits() - before > _PLAYS * _ROUNDS / 6


@pytest.fixture
def by_tenant(proxied: ProxiedPostgres, catalog: _Catalog) -> ProxiedPostgres:
    """Documents are shown to their tenant."""
    with proxied.server.connect() as direct:
        catalog.change(direct, *drop_policies(direct), _BY_TENANT, "ALTER TABLE docs NO FORCE ROW LEVEL SECURITY")
    return proxied


_BY_TENANT = "CREATE POLICY by_tenant ON docs USING (tenant = nullif(current_setting('app.tenant', true), '')::int)"
_BY_MEMBER = "EXISTS (SELECT FROM members m WHERE m.tenant = docs.tenant AND m.login = current_user)"
_READ = "SELECT id FROM docs ORDER BY id"


def _shown(connection: Connection) -> list[int]:
    return [number for (number,) in connection.execute(_READ, prepare=False).fetchall()]


def test_what_a_block_sets_ends_with_it_though_its_state_was_asked_for(by_tenant: ProxiedPostgres) -> None:
    with by_tenant.connect("alice") as first, by_tenant.connect("alice") as other:
        for session in (first, other):
            session.execute("SET app.tenant = '1'")
            by_tenant.wait_cached(lambda: _shown(session))  # noqa: B023
        for end in ("COMMIT", "ROLLBACK"):
            first.execute("BEGIN")
            first.execute("SELECT now()")  # from here on it is Postgres's block
            first.execute("SET LOCAL app.tenant = '2'")
            first.execute(f"SELECT id FROM docs WHERE id > 0 AND '{end}' <> ''", prepare=True)  # its state is asked for
            first.execute(end)
            assert _shown(first) == [1, 5, 9]
            other.execute("SET app.tenant = '2'")
            assert _shown(other) == [2, 6, 10]
            other.execute("SET app.tenant = '1'")


def test_blocks_of_one_session_show_each_tenant_its_own(by_tenant: ProxiedPostgres) -> None:
    with by_tenant.connect("alice") as session:
        session.execute("SET app.tenant = ''")

        def most_are_hits() -> bool:
            """Read in twelve blocks; the catalog may be read anew meanwhile, and then nothing is a hit."""
            before = by_tenant.hits()
            for number in range(12):
                tenant, expected = (("1", [1, 5, 9]), ("2", [2, 6, 10]), ("", []))[number % 3]
                session.execute("BEGIN")
                session.execute(f"SET LOCAL app.tenant = '{tenant}'")
                for _ in range(3):
                    assert _shown(session) == expected
                session.execute("COMMIT")
                assert _shown(session) == []
            return by_tenant.hits() - before > 24

        by_tenant.wait_for_hits(most_are_hits, "most reads to be hits")
        assert by_tenant.stack.counter("tidegate_proxy_blocks_held_total") > 0


_CHANGES = (
    ("UPDATE members SET login = 'nobody' WHERE tenant = 0", "UPDATE members SET login = 'alice' WHERE tenant = 0"),
    ("UPDATE docs SET tenant = 2 WHERE id = 5", "UPDATE docs SET tenant = 1 WHERE id = 5"),
    ("ALTER POLICY by_member ON docs USING (id < 3)", f"ALTER POLICY by_member ON docs USING ({_BY_MEMBER})"),
    ("ALTER POLICY by_member ON docs TO staff", "ALTER POLICY by_member ON docs TO PUBLIC"),
    (
        "CREATE POLICY only_few ON docs AS RESTRICTIVE FOR SELECT TO alice USING (id <> 5)",
        "DROP POLICY only_few ON docs",
    ),
    ("ALTER TABLE docs DISABLE ROW LEVEL SECURITY", "ALTER TABLE docs ENABLE ROW LEVEL SECURITY"),
    ("ALTER ROLE alice BYPASSRLS", "ALTER ROLE alice NOBYPASSRLS"),
    ("GRANT keeper TO alice", "REVOKE keeper FROM alice"),
)


def test_whatever_alters_what_policies_let_through_is_seen(proxied: ProxiedPostgres, catalog: _Catalog) -> None:
    with proxied.server.connect() as direct, proxied.connect("alice") as alice:
        made = f"CREATE POLICY by_member ON docs USING ({_BY_MEMBER})"
        catalog.change(direct, *drop_policies(direct), made, "ALTER TABLE docs NO FORCE ROW LEVEL SECURITY")
        count = "SELECT count(*) FROM docs"
        at_first = outcome(alice, count)
        for change, undone in _CHANGES:
            proxied.wait_all_cached(lambda: outcome(alice, count), 3)
            assert outcome(alice, count) == at_first
            direct.execute(change.encode())
            wait_until(lambda: outcome(alice, count) != at_first, change, _POLL_SECONDS)
            proxied.wait_all_cached(lambda: outcome(alice, count), 3)
            assert outcome(alice, count) != at_first
            direct.execute(undone.encode())
            wait_until(lambda: outcome(alice, count) == at_first, undone, _POLL_SECONDS)


@contextmanager
def _configured(server: PostgresServer, tenant: str) -> Iterator[Callable[[str], None]]:
    """Have the server's configuration give a tenant, and at last none; what is yielded has it give another."""

    def configure(value: str) -> None:
        server.execute(f"ALTER SYSTEM SET app.tenant = '{value}'")
        server.execute("SELECT pg_reload_conf()")
        with server.connect() as direct:
            wait_until(lambda: outcome(direct, "SHOW app.tenant") == [(value,)], "the reload", _POLL_SECONDS)

    configure(tenant)
    try:
        yield configure
    finally:
        server.execute("ALTER SYSTEM RESET app.tenant")
        server.execute("SELECT pg_reload_conf()")


def test_a_setting_that_a_reload_changes_is_asked_for_again(by_tenant: ProxiedPostgres) -> None:
    with (
        _configured(by_tenant.server, "1") as configure,
        by_tenant.connect("alice") as by_configuration,
        by_tenant.connect("alice") as set_by_hand,
    ):
        set_by_hand.execute("SET app.tenant = '1'")
        for session in (by_configuration, set_by_hand):
            by_tenant.wait_all_cached(lambda: _shown(session), 3)  # noqa: B023
        configure("2")
        for session, expected in ((by_configuration, [2, 6, 10]), (set_by_hand, [1, 5, 9])):
            wait_until(lambda: _shown(session) == expected, "the reload", _POLL_SECONDS)  # noqa: B023
            by_tenant.wait_all_cached(lambda: _shown(session), 3)  # noqa: B023
            assert _shown(session) == expected


def test_a_table_that_somebody_keeps_locked_hides_no_other_ddl(by_tenant: ProxiedPostgres) -> None:
    read = "SELECT * FROM members WHERE tenant = 3"
    with (
        by_tenant.connect("alice") as alice,
        by_tenant.server.connect() as holder,
        by_tenant.server.connect() as direct,
    ):
        alice.execute("SET app.tenant = '1'")
        by_tenant.wait_all_cached(lambda: outcome(alice, read), 3)
        with holder.transaction():
            holder.execute("LOCK TABLE docs IN ACCESS EXCLUSIVE MODE")
            direct.execute("ALTER TABLE members ADD COLUMN more int")
            wait_until(lambda: outcome(alice, read) == [(3, "service", None)], "the column", _POLL_SECONDS)
            by_tenant.wait_all_cached(lambda: outcome(alice, read), 3)
        by_tenant.wait_all_cached(lambda: _shown(alice), 3)
        assert _shown(alice) == [1, 5, 9]
