"""Made policies, and made sessions that read under them: each statement runs through the proxy and beside it.

A play has a few sessions of several roles, which take turns: they set, reset and undo what the policies read, in and
out of blocks with savepoints, become other roles, and read the same few statements again and again. No row changes
meanwhile, so that what the proxy answers has to be exactly what Postgres answers to the same session.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random

import psycopg

from tests.integration.proxied_postgres import Connection, ProxiedPostgres

SCHEMA = """
CREATE ROLE keeper LOGIN; CREATE ROLE staff; CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN IN ROLE staff;
CREATE ROLE service LOGIN BYPASSRLS; GRANT alice, staff TO service;
GRANT CREATE ON SCHEMA public TO keeper;
CREATE TABLE docs (id int PRIMARY KEY, tenant int, owner text, title text);
CREATE TABLE notes (id int PRIMARY KEY, doc int, body text);
CREATE TABLE members (tenant int, login text, PRIMARY KEY (tenant, login));
INSERT INTO docs SELECT i, i % 4, (ARRAY['alice', 'bob', 'service', 'keeper'])[1 + i % 3], 'doc ' || i
    FROM generate_series(1, 12) i;
INSERT INTO notes SELECT i, 1 + i % 12, 'note ' || i FROM generate_series(1, 24) i;
INSERT INTO members VALUES (0, 'alice'), (1, 'alice'), (1, 'bob'), (2, 'bob'), (3, 'service');
ALTER TABLE docs REPLICA IDENTITY FULL;
ALTER TABLE docs ENABLE ROW LEVEL SECURITY; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE docs OWNER TO keeper; ALTER TABLE notes OWNER TO keeper; ALTER TABLE members OWNER TO keeper;
CREATE VIEW docs_by_owner AS SELECT id, title FROM docs; ALTER VIEW docs_by_owner OWNER TO alice;
CREATE VIEW docs_by_reader WITH (security_invoker) AS SELECT id, title FROM docs;
CREATE VIEW marker AS SELECT 0 AS n FROM members;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO PUBLIC;
CREATE FUNCTION auth.uid() RETURNS text LANGUAGE sql STABLE AS $$
    -- as Supabase has it
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
$$;
CREATE FUNCTION tenant_of_session() RETURNS int LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN nullif(current_setting('app.tenant', true), '')::int; END $$;
CREATE FUNCTION become(tenant text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RETURN set_config('app.tenant', tenant, false); END $$;
CREATE FUNCTION as_tenant_3() RETURNS bigint LANGUAGE sql SET app.tenant = '3' AS 'SELECT count(*) FROM docs';
"""

_TENANT = "nullif(current_setting('app.tenant', true), '')::int"
_ON_DOCS = (
    f"tenant = {_TENANT}",
    "tenant = current_setting('app.tenant', true)::int",  # fails behind a SET LOCAL, which leaves ''
    "tenant = current_setting('app.tenant')::int",
    f"tenant = (SELECT {_TENANT})",
    "owner = current_user",
    "owner = session_user",
    "owner = auth.uid()",
    "owner = (SELECT auth.uid())",
    "EXISTS (SELECT FROM members m WHERE m.tenant = docs.tenant AND m.login = current_user)",
    "tenant IN (SELECT m.tenant FROM members m WHERE m.login = current_setting('app.login', true))",
    "tenant = tenant_of_session()",
    "id > 3",
    "true",
)
_ON_NOTES = (
    "doc IN (SELECT id FROM docs)",
    "EXISTS (SELECT FROM docs_by_owner d WHERE d.id = notes.doc)",
    f"doc = {_TENANT}",
    "current_setting('app.login', true) = 'bob' OR id < 3",
    "true",
)
_READS = (
    "SELECT id, title FROM docs ORDER BY id",
    "SELECT title FROM docs WHERE id = 5",
    "SELECT count(*) FROM docs",
    "SELECT id FROM notes ORDER BY id",
    "SELECT d.title, n.body FROM notes n LEFT JOIN docs d ON d.id = n.doc ORDER BY n.id, d.id",
    "SELECT id FROM docs_by_owner ORDER BY id",
    "SELECT id FROM docs_by_reader ORDER BY id",
    "SELECT count(*) FROM members",
)
_NAMES = ("app.tenant", "app.login", "request.jwt.claim.sub", "request.jwt.claims")
_LOGINS = ("keeper", "alice", "bob", "service")


def policies(chance: Random) -> list[str]:
    """Make the DDL of a play's policies; those of the one before it are dropped first (`drop_policies`)."""
    made: list[str] = []
    for table, conditions in (("docs", _ON_DOCS), ("notes", _ON_NOTES)):
        for number in range(chance.choice((1, 1, 2, 3))):
            kind = "RESTRICTIVE" if number and chance.random() < 0.4 else "PERMISSIVE"
            command = chance.choice(("ALL", "SELECT"))
            role = chance.choice(("PUBLIC", "PUBLIC", "staff", "alice, staff", "keeper"))
            made.append(
                f"CREATE POLICY p{number} ON {table} AS {kind} FOR {command} TO {role} "
                f"USING ({chance.choice(conditions)})"
            )
        made.append(f"ALTER TABLE {table} {chance.choice(('FORCE', 'NO FORCE'))} ROW LEVEL SECURITY")
    return made


def drop_policies(direct: Connection) -> list[str]:
    """Return the DDL that drops all policies."""
    found = direct.execute("SELECT polname, polrelid::regclass::text FROM pg_policy").fetchall()
    return [f"DROP POLICY {name} ON {table}" for name, table in found]


@dataclass
class Player:
    """One session, twice: through the proxy and beside it."""

    login: str
    through: Connection
    beside: Connection
    in_block: bool = False
    savepoints: int = 0
    reads: int = 0

    def moves(self, chance: Random) -> Iterator[str]:
        """Yield what it does next: one statement, or a few that belong together."""
        roll = chance.random()
        if roll < 0.5:
            yield from chance.choices(_READS, k=chance.choice((1, 2, 3)))
        elif roll < 0.8 and not self.in_block:
            yield from self._begin(chance)
        elif roll < 0.9 and self.in_block:
            yield from self._end(chance)
        elif roll < 0.93 and self.in_block:
            self.savepoints += 1
            yield f"SAVEPOINT s{self.savepoints}"
            yield _setting(chance, local=chance.random() < 0.7)
            yield chance.choice(_READS)
            if chance.random() < 0.6:
                yield f"ROLLBACK TO SAVEPOINT s{self.savepoints}"
        else:
            yield _setting(chance, local=self.in_block and chance.random() < 0.6)

    def _begin(self, chance: Random) -> Iterator[str]:
        self.in_block = True
        yield chance.choice(("BEGIN", "START TRANSACTION READ ONLY"))
        for _ in range(chance.choice((0, 1, 1, 2))):
            yield _setting(chance, local=True)
        yield from chance.choices(_READS, k=chance.choice((1, 2, 3)))
        if chance.random() < 0.5:
            yield from self._end(chance)

    def _end(self, chance: Random) -> Iterator[str]:
        self.in_block = False
        yield chance.choice(("COMMIT", "ROLLBACK"))


def _setting(chance: Random, *, local: bool) -> str:
    name, values = chance.choice(
        (
            ("app.tenant", ("1", "2", "3")),
            ("app.tenant", ("1", "2", "")),
            ("app.login", ("alice", "bob")),
            ("request.jwt.claim.sub", ("alice", "bob", "")),
            ("request.jwt.claims", ('{"sub": "alice"}', '{"sub": "bob"}')),
        )
    )
    value = chance.choice(values)
    if local:
        return chance.choice(
            (
                f"SET LOCAL {name} = '{value}'",
                f"set local {name.upper()} to '{value}'",
                f"SELECT set_config('{name}', '{value}', true)",
            )
            if chance.random() < 0.9
            else ("SET LOCAL ROLE alice",)
        )
    return chance.choice(
        (
            f"SET {name} = '{value}'",
            f"SET {name} = '{value}'",
            f"SELECT set_config('{name}', '{value}', false)",
            f"RESET {name}",
            "RESET ALL",
            "DISCARD ALL",
            f"SELECT become('{chance.choice('123')}')",
            "SELECT as_tenant_3()",
            f"DO $$ BEGIN PERFORM set_config('{name}', '{value}', false); END $$",
            "SET ROLE alice",
            "SET ROLE staff",
            "RESET ROLE",
            "SET row_security = off",
            "SET row_security = on",
            f"SET {name} = '{value}'; SET app.login = 'alice'",
        )
    )


@dataclass
class Play:
    """One play.

    Attributes:
        told: What was done, for a person who has to find out why it went wrong.
    """

    proxied: ProxiedPostgres
    chance: Random
    told: list[str] = field(default_factory=list)

    def run(self, rounds: int) -> None:
        """Have the sessions take turns, and compare each answer.

        Raises:
            AssertionError: The proxy answered something else than Postgres.
        """
        with ExitStack() as stack:
            players = [
                Player(login, stack.enter_context(self._through(login)), stack.enter_context(self._beside(login)))
                for login in (*_LOGINS, "alice", "bob")
            ]
            for number, player in enumerate(players[::2]):  # an empty one is there, so that blocks may have another
                for name in _NAMES:
                    self._do(2 * number, player, f"SET {name} = ''", binary=False, prepared=False)
            for _ in range(rounds):
                player = self.chance.choice(players)
                binary, prepared = self.chance.random() < 0.3, self.chance.random() < 0.4
                for statement in player.moves(self.chance):
                    self._do(players.index(player), player, statement, binary=binary, prepared=prepared)

    def _do(self, number: int, player: Player, statement: str, *, binary: bool, prepared: bool) -> None:
        sides = (player.through, player.beside)
        found, expected = (outcome(side, statement, binary=binary, prepared=prepared) for side in sides)
        self.told.append(f"{number} {player.login}: {statement} -- {expected}")
        assert found == expected, "\n".join([*self.told[-60:], f"but the proxy said {found}"])

    def _through(self, login: str) -> Connection:
        return self.proxied.connect(login)

    def _beside(self, login: str) -> Connection:
        return psycopg.connect(self.proxied.server.url(user=login), autocommit=True)


def outcome(
    connection: Connection, statement: str, *, binary: bool = False, prepared: bool = False
) -> Sequence[object]:
    """Return the rows that a statement gives, or the error."""
    reads = statement.startswith("SELECT")
    try:
        cursor = connection.execute(statement.encode(), prepare=prepared and reads, binary=binary and reads)
        return cursor.fetchall() if cursor.description is not None else [cursor.statusmessage]
    except psycopg.Error as error:
        return [error.sqlstate]
