"""Clients on a hot standby: served from the cache of its primary, and filling it only with what is as new as that.

Every test leaves the standby replaying. The last one ends it as a standby.
"""

import asyncio
from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from pydantic import SecretStr

from services.cdc.control import ControlConnection
from services.installation.replica_check import replica_findings
from services.shared.pgwire.frontend import Bind, Describe, Execute, FrontendMessage, Parse, Query, Sync, Target
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings
from tests.integration.replicated_postgres import Replicated, replicated_postgres
from tests.integration.wire_client import WireClient, raw
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import wait_until
from tests.servers.stack import running_stack

_SQL = """
    CREATE TABLE things (id int PRIMARY KEY, v text);
    INSERT INTO things SELECT i, 'old' FROM generate_series(1, 100) i;
    CREATE TABLE wide (id int PRIMARY KEY, v text);
    INSERT INTO wide SELECT i, 'old' FROM generate_series(1, 100) i;
    CREATE TABLE secrets (id int PRIMARY KEY, owner name, v text);
    INSERT INTO secrets VALUES (1, 'alice', 'hers'), (2, 'bob', 'his');
    ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON secrets USING (owner = current_user);
    CREATE ROLE alice LOGIN;
    CREATE ROLE bob LOGIN;
    CREATE ROLE eve LOGIN;
    GRANT SELECT ON secrets TO alice, bob;
"""
_READ = "SELECT v FROM things WHERE id = %s"
_SECONDS = 15.0


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def replicated(request: pytest.FixtureRequest) -> Iterator[Replicated]:
    with replicated_postgres(request.param, _SQL) as started:
        yield started


def _turns(number: int) -> list[tuple[FrontendMessage, ...]]:
    """The forms in which reads come."""
    sql = b"SELECT id, v FROM things WHERE id = $1"
    bind, described = Bind(b"", b"", (), (b"%d" % number,), ()), Describe(Target.PORTAL, b"")
    one = (Parse(b"", sql), bind, described, Execute(b""))
    undescribed = (Parse(b"", sql), bind, Execute(b""))
    return [
        (Query(b"SELECT id, v FROM things WHERE id = %d" % number),),
        (*one, Sync()),
        (*undescribed, Sync()),
        (*one, *one, *undescribed, Sync()),
        (Query(b"BEGIN"), Query(b"SELECT v FROM things WHERE id = %d" % (number + 1)), Query(b"COMMIT")),
        (Query(b"SELECT 1 / (id - %d) FROM things WHERE id = %d" % (number, number)), *one, Sync()),
        (Query(b"BEGIN"), *one, Query(b"SELECT 1 / (id - %d) FROM things" % number), *one, Sync(), Query(b"ROLLBACK")),
    ]


def test_answers_have_the_bytes_of_the_standby_and_are_hits_on_both_sides(replicated: Replicated) -> None:
    replica = replicated.replica
    with WireClient(replica.proxy.url()).start() as client, WireClient(replicated.standby.url()).start() as direct:
        for turn in _turns(3):
            expected = raw(direct.turns(*turn))
            for _ in range(3):
                assert raw(client.turns(*turn)) == expected
    with replica.connect() as there, replicated.connect() as here:
        replica.wait_cached(lambda: there.execute(_READ, [1]))
        assert here.execute(_READ, [1]).fetchone() == ("old",)
        kept = replica.count("kept")
        there.execute(_READ, [1])
        assert replica.count("kept") == kept


def test_an_answer_from_before_an_eviction_is_not_kept_behind_it(replicated: Replicated) -> None:
    """H15: the refill race, in which the query is not slow, but its server is. What has not changed since is kept."""
    replica = replicated.replica
    with replica.connect() as there, replicated.connect() as here:
        replica.wait_cached(lambda: there.execute(_READ, [10]))
        with replicated.replay_paused():
            replicated.write("UPDATE things SET v = 'new' WHERE id = 10")
            refused, hits = replica.refused("evicted_meanwhile"), replica.hits()
            for _ in range(10):
                assert there.execute(_READ, [10]).fetchone() == ("old",)
            assert replica.hits() == hits  # all were forwarded: they are as stale as the replica is
            wait_until(lambda: replica.refused("evicted_meanwhile") >= refused + 10, "answers to be refused", _SECONDS)
            replicated.wait_cached(lambda: here.execute(_READ, [10]))
            assert here.execute(_READ, [10]).fetchone() == ("new",)
            replica.wait_cached(lambda: there.execute(_READ, [11]))
            replica.wait_cached(lambda: there.execute(_READ, [10]))
            assert there.execute(_READ, [10]).fetchone() == ("new",)  # from the cache, that knows more than the replica
        replica.wait_cached(lambda: there.execute(_READ, [10]))
        assert there.execute(_READ, [10]).fetchone() == ("new",)


def test_an_answer_by_an_older_definition_is_not_kept(replicated: Replicated) -> None:
    """H28: the catalog is the primary's, the answer was made by that of a standby which is behind it."""
    replica, read = replicated.replica, "SELECT * FROM wide WHERE id = 1"
    with replica.connect(prepare_threshold=None) as there, replicated.connect() as here:
        replica.wait_cached(lambda: there.execute(read))
        with replicated.replay_paused():
            replicated.write("ALTER TABLE wide ADD COLUMN more int DEFAULT 7")
            behind, kept = replica.refused("replica_behind"), replica.count("kept")
            wait_until(
                lambda: (there.execute(read), replica.refused("replica_behind"))[1] > behind, "a refusal", _SECONDS
            )
            assert there.execute(read).fetchone() == (1, "old")
            assert replica.count("kept") == kept
            # The table is described anew a moment later, and by that evicted, perhaps between the two: then it is the
            # standby that answers the second. From the cache alone can it have what the standby does not know.
            wait_until(
                lambda: (here.execute(read), there.execute(read).fetchone())[1] == (1, "old", 7), "a hit", _SECONDS
            )


def _is_denied(session: psycopg.Connection, read: LiteralString) -> bool:
    try:
        session.execute(read)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_rows_and_rights_are_those_of_the_role(replicated: Replicated) -> None:
    replica, read = replicated.replica, "SELECT v FROM secrets ORDER BY id"
    with replica.connect("alice") as alice, replica.connect("bob") as bob, replica.connect("eve") as eve:
        for role, expected in ((alice, [("hers",)]), (bob, [("his",)])):
            replica.wait_cached(lambda role=role: role.execute(read))  # type: ignore[misc]
            assert role.execute(read).fetchall() == expected
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            eve.execute(read)
        with replicated.replay_paused():
            replicated.write("REVOKE SELECT ON secrets FROM bob")
            behind = replica.refused("replica_behind")
            wait_until(
                lambda: (bob.execute(read), replica.refused("replica_behind"))[1] > behind, "a refusal", _SECONDS
            )
            with replicated.connect("bob") as bob_here:
                # The primary's proxy may learn of it a moment later. What it finds in Redis from then on is not the
                # standby's answer, which was made by the rights of before.
                wait_until(lambda: _is_denied(bob_here, read), "the primary's side to see it", _SECONDS)
                assert _is_denied(bob_here, read)


def test_a_write_fails_as_postgres_says_and_reads_go_on(replicated: Replicated) -> None:
    replica = replicated.replica
    with replica.connect() as there:
        replica.wait_cached(lambda: there.execute(_READ, [20]))
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            there.execute("UPDATE things SET v = 'mine' WHERE id = 20")
        replica.wait_cached(lambda: there.execute(_READ, [20]))


def test_a_token_that_was_handed_to_a_session_is_shown_there_as_it_is(replicated: Replicated) -> None:
    """A standby has no WAL of its own to make one of. Who was handed one is forwarded until it is covered, as ever."""
    with replicated.replica.connect() as there, replicated.connect() as here, replicated.replica.connect() as other:
        here.execute("UPDATE things SET v = 'new' WHERE id = 40")
        (token,) = here.execute("SHOW tidegate.token").fetchone() or ("",)
        with there.transaction():
            assert there.execute("SHOW tidegate.token").fetchone() == ("",)
            assert there.execute(_READ, [41]).fetchone() == ("old",)
        other.execute(f"SET tidegate.token = '{token}'")
        assert other.execute("SHOW tidegate.token").fetchone() == (token,)
        replicated.replica.wait_cached(lambda: other.execute(_READ, [40]))
        assert other.execute(_READ, [40]).fetchone() == ("new",)


def test_check_says_whether_the_replica_follows_the_primary(replicated: Replicated) -> None:
    assert _looked_at(replicated, replicated.standby.url()) == (Level.OK, "follows the primary")
    assert _looked_at(replicated, replicated.primary.url()) == (Level.WARN, "is no standby")


def _looked_at(replicated: Replicated, replica_url: str) -> tuple[Level, str]:
    """Return what is said of a replica: how bad it is, and what is known of the words."""
    urls = SecretStr(replicated.primary.url()), SecretStr(replica_url)
    cache = CacheSettings(name="default", database_url=urls[0], replica_url=urls[1])

    async def look() -> Finding:
        control = await ControlConnection.open(cache.upstream, "test")
        try:
            (finding,) = await replica_findings(cache, await control.server())
        finally:
            await control.close()
        return finding

    finding = asyncio.run(look())
    return finding.level, next(words for words in ("follows the primary", "is no standby") if words in finding.text)


def test_a_session_outlives_the_promotion_of_its_standby_and_reads_its_own_writes(replicated: Replicated) -> None:
    """H48, with the old primary alive: two servers, of which the cache follows one. Nothing of the other is kept."""
    replica, standby = replicated.replica, replicated.standby
    with replica.connect() as there, replica.connect() as reader, replicated.connect() as here:
        for connection in (there, reader):
            replica.wait_cached(lambda connection=connection: connection.execute(_READ, [30]))  # type: ignore[misc]
        standby.execute("SELECT pg_promote()")
        there.execute("UPDATE things SET v = 'mine' WHERE id IN (30, 31)")
        kept, hits = replica.count("kept"), replica.hits()
        for _ in range(10):
            assert there.execute(_READ, [30]).fetchone() == ("mine",)
        assert replica.hits() == hits
        for _ in range(10):
            assert reader.execute(_READ, [31]).fetchone() == ("mine",)
            assert here.execute(_READ, [31]).fetchone() == ("old",)
        assert replica.count("kept") == kept
        assert replica.count("forwarded", reason="other_history") > 0


@pytest.mark.parametrize("replicated", [NEWEST], indirect=True)
def test_the_cache_goes_on_with_the_promoted_standby_once_it_is_named_as_the_primary(replicated: Replicated) -> None:
    """H35, H40: behind the test above. Its session of before, in front of the server by its old name, reads no less."""
    replica, server = replicated.replica, replicated.standby
    environ = {"TIDEGATE_REPLICA_URL": server.url(), "TIDEGATE_REDIS_URL": replicated.stack.redis_url}
    replicated.primary.stop()
    with (
        replica.connect() as before,
        running_stack(server.url(), "--workers", "1", environ=environ) as stack,
        psycopg.connect(stack.database_url, autocommit=True) as after,
    ):
        for value in ("first", "second"):
            server.execute(f"UPDATE things SET v = '{value}' WHERE id = 30")
            for connection in (before, after):
                wait_until(lambda: connection.execute(_READ, [30]).fetchone() == (value,), "the change", _SECONDS)  # noqa: B023

            def is_hit() -> bool:
                hits = stack.counter("tidegate_proxy_hits_total")
                assert after.execute(_READ, [30]).fetchone() == (value,)  # noqa: B023
                return stack.counter("tidegate_proxy_hits_total") > hits

            wait_until(is_hit, "a hit", _SECONDS)
            assert before.execute(_READ, [30]).fetchone() == (value,)
