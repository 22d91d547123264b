"""Transaction blocks: reads in them are hits, and nobody can tell a held-back BEGIN from one that Postgres has seen.

Each conversation is held with Postgres directly, then through the proxy several times, cold and warm: the bytes of each
answer have to be the same. The statistics tell whether the block was held back, and whether Postgres had to see it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FrontendMessage,
    FunctionCall,
    Parse,
    Query,
    Sync,
    Target,
)
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.wire_client import WireClient, raw
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import wait_until

_SQL = """
CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(10, 2));
INSERT INTO items SELECT i, 'item ' || i, i * 1.25 FROM generate_series(1, 100) i;
CREATE TABLE log (id int PRIMARY KEY, body text);
CREATE TABLE owned (id int PRIMARY KEY, tenant text);
INSERT INTO owned SELECT i, 'T' || i % 3 FROM generate_series(1, 9) i;
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_tenant ON owned USING (tenant = current_setting('app.tenant', true));
CREATE ROLE tenants; GRANT ALL ON items, log, owned TO tenants;
"""

Turn = Sequence[FrontendMessage]


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def proxied(request: pytest.FixtureRequest) -> Iterator[ProxiedPostgres]:
    with proxied_postgres("--workers", "1", version=request.param, sql=_SQL) as started:
        yield started


def q(sql: str) -> Turn:
    return [Query(sql.encode())]


def _ask(sql: str, *values: bytes | None, name: bytes = b"", limit: int = 0) -> list[FrontendMessage]:
    """A statement in the extended protocol, without the Sync."""
    return [
        *([] if name else [Parse(b"", sql.encode())]),
        Bind(b"", name, (), values, ()),
        Describe(Target.PORTAL, b""),
        Execute(b"", limit),
    ]


def x(sql: str, *values: bytes | None, name: bytes = b"", limit: int = 0) -> Turn:
    return [*_ask(sql, *values, name=name, limit=limit), Sync()]


def _command(sql: str, name: bytes = b"") -> list[FrontendMessage]:
    """BEGIN or COMMIT as JDBC sends it: not described."""
    return [*([] if name else [Parse(b"", sql.encode())]), Bind(b"", name, (), (), ()), Execute(b"", 1)]


READ = "SELECT name FROM items WHERE id = 7"
BY_ID = "SELECT name, price FROM items WHERE id = $1"
COUNT = "SELECT count(*) FROM items"
SOME = "SELECT id FROM items WHERE id < 10 ORDER BY id"


OWNED = "SELECT id FROM owned ORDER BY id"
OWNED_BY_ID = "SELECT tenant FROM owned WHERE id = $1"
SET_TENANT = "SELECT set_config('app.tenant', $1, true)"
SHOWN = "SELECT current_setting('app.tenant', true)"


def _fetch(limit: int) -> Turn:
    """Go on with the unnamed portal."""
    return [Execute(b"", limit), Sync()]


def _prepare(name: bytes) -> Turn:
    return [Parse(name, READ.encode()), Sync()]


@dataclass(frozen=True)
class Talk:
    """A conversation.

    Attributes:
        turns: What the client sends; it reads the answers to each before the next.
        hits: How many reads of it are answered from the cache when it is warm; None: that is not counted.
        held: How many blocks are held back.
        sent: How many of them Postgres sees after all.
        before: Sent once, at the beginning of the session.
    """

    turns: Sequence[Turn]
    hits: int | None = 0
    held: int = 0
    sent: int = 0
    before: Sequence[Turn] = field(default_factory=tuple)


_TENANTS = [q("SET ROLE tenants"), q("SET app.tenant = 'T0'")]

TALKS: dict[str, Talk] = {
    "reads only": Talk([q("BEGIN"), q(READ), q(READ), q("COMMIT")], hits=2, held=1),
    "reads only, rolled back": Talk([q("BEGIN"), q(READ), q("ROLLBACK")], hits=1, held=1),
    "an empty block": Talk([q("BEGIN"), q("COMMIT"), q("BEGIN;"), q("END")], held=2),
    "other spellings": Talk(
        [
            *(q("begin work"), q(READ), q("commit work")),
            *(q("START TRANSACTION READ ONLY"), q(READ), q("abort transaction")),
            *(q("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE;"), q(READ), q("END AND NO CHAIN")),
            *(q("BEGIN TRANSACTION ISOLATION LEVEL READ UNCOMMITTED NOT DEFERRABLE"), q(READ), q("Rollback")),
            *(q("/* why */ BEGIN -- so"), q(READ), q("COMMIT /* done */")),
        ],
        hits=5,
        held=5,
    ),
    "the extended protocol": Talk([x("BEGIN"), x(BY_ID, b"7"), x(BY_ID, b"8"), x("COMMIT")], hits=2, held=1),
    "named statements, as jdbc has them": Talk(
        [
            [*_command("", b"b"), *_ask("", b"7", name=b"s"), Sync()],
            x("", b"8", name=b"s"),
            [*_command("", b"c"), Sync()],
            [*_command("", b"b"), *_ask(BY_ID, b"9"), Sync()],
            [*_command("", b"r"), Sync()],
        ],
        hits=3,
        held=2,
        before=[
            [Parse(b"b", b"BEGIN"), Sync()],
            [Parse(b"c", b"COMMIT"), Sync()],
            [Parse(b"r", b"ROLLBACK"), Sync()],
            [Parse(b"s", BY_ID.encode()), Sync()],
        ],
    ),
    "a block in one turn": Talk(
        [[*_command("BEGIN"), *_ask(BY_ID, b"7"), *_ask(BY_ID, b"8"), *_command("COMMIT"), Sync()]], hits=2, held=1
    ),
    "preparing in a block": Talk(
        [
            q("BEGIN"),
            [Parse(b"p", BY_ID.encode()), Describe(Target.STATEMENT, b"p"), Sync()],
            x("", b"7", name=b"p"),
            [Sync()],
            [Close(Target.STATEMENT, b"p"), Sync()],
            q("COMMIT"),
        ],
        hits=1,
        held=1,
    ),
    "a write": Talk(
        [q("BEGIN"), q(READ), q("INSERT INTO log VALUES (1, 'a')"), q(READ), q("SELECT * FROM log"), q("ROLLBACK")],
        hits=1,
        held=1,
        sent=1,
    ),
    "a write, extended": Talk(
        [
            x("BEGIN"),
            x(BY_ID, b"7"),
            x("INSERT INTO log VALUES ($1, 'a') RETURNING body", b"1"),
            x("SELECT body FROM log WHERE id = $1", b"1"),
            x("DELETE FROM log"),
            x("COMMIT"),
        ],
        hits=1,
        held=1,
        sent=1,
    ),
    "a write at once, as jdbc sends it": Talk(
        [[*_command("BEGIN"), *_ask("INSERT INTO log VALUES (1, 'a')"), Sync()], q("ROLLBACK")]
    ),
    "a begin with a parameter": Talk([x("BEGIN", b"7"), q("SELECT 1"), q("COMMIT")]),
    "a failed read": Talk(
        [q("BEGIN"), q(READ), q("SELECT price / (id - 7) FROM items WHERE id = 7"), q(READ), q("ROLLBACK")],
        hits=1,
        held=1,
        sent=1,
    ),
    "a failed read, then the end": Talk(
        [q("BEGIN"), q("SELECT price / (id - 7) FROM items WHERE id = 7"), q("COMMIT"), q(READ)], hits=1, held=1
    ),
    "the end of a failed block is not the end of another": Talk(
        [
            *(q("BEGIN"), q("SELECT price / (id - 7) FROM items WHERE id = 7"), q("COMMIT")),
            *(q("BEGIN"), q(READ), q("COMMIT"), q("BEGIN"), q(READ), q("COMMIT")),
        ],
        hits=2,
        held=3,
    ),
    "a pipeline behind an unnamed statement that only postgres knows": Talk(
        [
            [Parse(b"", b"SELECT nothing FROM items"), Sync()],
            q("DO $$ BEGIN END $$"),
            [Parse(b"", BY_ID.encode()), Flush(), Sync()],
            [Bind(b"", b"s", (), (b"seven",), ()), Execute(b""), *_ask(BY_ID, b"6"), Sync()],
            [Bind(b"", b"", (), (b"8",), ()), Execute(b""), Sync()],
        ],
        hits=0,
        before=[[Parse(b"s", BY_ID.encode()), Sync()]],
    ),
    "a failed read, extended": Talk(
        [
            x("BEGIN"),
            x(BY_ID, b"seven"),
            x(BY_ID, b"7"),
            [Parse(b"", b"SELECT 1"), Sync()],
            [Sync()],
            q("SAVEPOINT a"),
            q("ROLLBACK TO a"),
            x("COMMIT"),
        ],
        held=1,
        sent=1,
    ),
    "a statement that cannot be prepared": Talk(
        [q("BEGIN"), [Parse(b"bad", b"SELECT nothing FROM items"), Sync()], q(READ), q("ROLLBACK")], held=1, sent=1
    ),
    "set transaction in time": Talk(
        [q("BEGIN"), q("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), q("SHOW transaction_isolation"), q("COMMIT")],
        held=1,
        sent=1,
    ),
    "set transaction too late": Talk(
        [q("BEGIN"), q(READ), q("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), q("ROLLBACK")], hits=1, held=1, sent=1
    ),
    "set transaction too late, from a failed block's end on": Talk(
        [q("BEGIN"), q(READ), q("SET TRANSACTION READ ONLY"), q("SHOW transaction_read_only"), q("COMMIT")],
        hits=1,
        held=1,
        sent=1,
    ),
    "set transaction behind a setting, prepared": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL work_mem = '8MB'")),
            [Parse(b"p", b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), Sync()],
            x("", name=b"p"),
            [Parse(b"r", BY_ID.encode()), Describe(Target.STATEMENT, b"r"), Sync()],
            x("", b"7", name=b"r"),
            *(q("SHOW transaction_isolation"), q("COMMIT"), q("DEALLOCATE ALL")),
        ],
        held=1,
        sent=1,
    ),
    "the modes are kept": Talk(
        [
            *(q("BEGIN READ ONLY"), q(READ), q("INSERT INTO log VALUES (1, 'a')"), q("ROLLBACK")),
            *(q("BEGIN ISOLATION LEVEL READ UNCOMMITTED"), q("SHOW transaction_isolation"), q("ROLLBACK")),
            *(q("START TRANSACTION DEFERRABLE"), q("SHOW transaction_deferrable"), q("ROLLBACK")),
        ],
        hits=1,
        held=3,
        sent=3,
    ),
    "other isolation levels": Talk(
        [
            *(q("BEGIN ISOLATION LEVEL REPEATABLE READ"), q(READ), q("SHOW transaction_isolation"), q("COMMIT")),
            *(q("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"), q(READ), q("COMMIT")),
        ]
    ),
    "savepoints": Talk(
        [
            *(q("BEGIN"), q(READ), q("SAVEPOINT a"), q("INSERT INTO log VALUES (2, 'b')"), q("SELECT 1/0"), q(READ)),
            *(q("ROLLBACK TO a"), q("SELECT count(*) FROM log"), q("RELEASE a"), q("COMMIT")),
        ],
        hits=1,
        held=1,
        sent=1,
    ),
    "a block in a block": Talk([q("BEGIN"), q(READ), q("BEGIN"), q(READ), q("COMMIT"), q("COMMIT")], 1, 1, 1),
    "chains": Talk(
        [q("BEGIN"), q(READ), q("COMMIT AND CHAIN"), q(READ), q("ROLLBACK AND CHAIN"), q("COMMIT")], 1, 1, 1
    ),
    "no block to end": Talk([q("COMMIT"), q("ROLLBACK"), x("COMMIT"), q(READ)], hits=1),
    "only the beginning in one query": Talk([q(f"BEGIN; {READ}"), q(READ), q("COMMIT")]),
    "settings for the block": Talk(
        [
            *(q("BEGIN"), q(READ), q("SET LOCAL extra_float_digits = 0"), q("SELECT 0.1::float8 + 0.2"), q("COMMIT")),
            *(q("SELECT 0.1::float8 + 0.2"), q(READ)),
        ],
        hits=2,
        held=1,
        sent=1,
    ),
    "a temporary table that shadows": Talk(
        [
            *(q("BEGIN"), q(COUNT), q("CREATE TEMP TABLE items (id int) ON COMMIT DROP"), q(COUNT), q("ROLLBACK")),
            *(q("BEGIN"), q(COUNT), q("ROLLBACK")),
        ],
        hits=None,  # whether the session has a temporary schema from then on depends on the version
    ),
    "advisory and row locks": Talk(
        [
            *(q("BEGIN"), q(READ), q("SELECT name FROM items WHERE id = 7 FOR UPDATE")),
            *(
                q("SELECT pg_advisory_xact_lock(42)"),
                q("SELECT count(*) FROM pg_locks WHERE objid = 42"),
                q("ROLLBACK"),
            ),
        ],
        hits=1,
        held=1,
        sent=1,
    ),
    "copy": Talk(
        [
            *(q("BEGIN"), q(READ), q("COPY (SELECT id FROM items WHERE id < 3 ORDER BY id) TO STDOUT")),
            *(q(READ), q("ROLLBACK")),
        ],
        hits=1,
        held=1,
        sent=1,
    ),
    "a function call": Talk([q("BEGIN"), q(READ), [FunctionCall(1397, (), (b"-7",), 0)], q("COMMIT")], 1, 1, 1),
    "what may not run in a block": Talk([q("BEGIN"), q(READ), q("VACUUM items"), q("ROLLBACK")], 1, 1, 1),
    "nothing to run": Talk([q("BEGIN"), q(""), x(" -- a ping"), q(READ), q("COMMIT")], hits=1, held=1),
    "several statements in one query": Talk([q("BEGIN"), q(f"{READ}; {READ}"), q("COMMIT")], held=1, sent=1),
    "a cursor": Talk(
        [
            *(q("BEGIN"), q(f"DECLARE c CURSOR FOR {SOME}"), q("FETCH 2 FROM c"), q("FETCH 2 FROM c"), q("CLOSE c")),
            q("COMMIT"),
        ],
        held=1,
        sent=1,
    ),
    "a named portal in parts": Talk(
        [
            q("BEGIN"),
            [Parse(b"", SOME.encode()), Bind(b"c", b"", (), (), ()), Execute(b"c", 2), Sync()],
            [Execute(b"c", 2), Sync()],
            [Execute(b"c"), Sync()],
            q("COMMIT"),
        ],
        held=1,
        sent=1,
    ),
    "the unnamed portal in parts": Talk(
        [
            q("BEGIN"),
            x(SOME, limit=2),
            [Execute(b"", 2), Sync()],
            [Describe(Target.PORTAL, b""), Execute(b""), Sync()],
            [Execute(b""), Sync()],
            q("COMMIT"),
        ],
        hits=1,
        held=1,
        sent=1,
    ),
    "the unnamed portal at its end": Talk([x("BEGIN"), x(BY_ID, b"7"), _fetch(0), x("COMMIT")], hits=1, held=1, sent=1),
    "the unnamed portal closed": Talk(
        [
            q("BEGIN"),
            x(SOME, limit=2),
            [Close(Target.PORTAL, b""), Sync()],
            [Describe(Target.PORTAL, b""), Sync()],
            q("ROLLBACK"),
        ],
        hits=1,
        held=1,
        sent=1,
    ),
    "the unnamed portal after a simple query": Talk(
        [q("BEGIN"), x(SOME, limit=2), q(READ), [Execute(b""), Sync()], q("ROLLBACK")], hits=2, held=1, sent=1
    ),
    "the first rows and no more": Talk([q("BEGIN"), x(SOME, limit=1), x(SOME, limit=1), q("COMMIT")], hits=2, held=1),
    "the unnamed statement outlives the block": Talk(
        [
            [*_command("BEGIN"), Sync()],
            [Parse(b"", BY_ID.encode()), Sync()],
            [Bind(b"", b"", (), (b"7",), ()), Execute(b""), Sync()],
            [Bind(b"", b"", (), (b"8",), ()), Execute(b""), Sync()],
            q("INSERT INTO log VALUES (3, 'c')"),
            [Bind(b"", b"", (), (b"9",), ()), Execute(b""), Sync()],
            q("ROLLBACK"),
        ],
        hits=2,
        held=1,
        sent=1,
    ),
    "a write that uses the unnamed statement of a hit": Talk(
        [x("BEGIN"), x(BY_ID, b"7"), [Bind(b"n", b"", (), (b"8",), ()), Execute(b"n"), Sync()], x("ROLLBACK")],
        hits=1,
        held=1,
        sent=1,
    ),
    "a pipeline of reads": Talk([[*_ask(BY_ID, b"1"), *_ask(BY_ID, b"2"), *_ask(BY_ID, b"3"), Sync()]], hits=3),
    "a pipeline of reads with an error in it": Talk(
        [
            [*_ask(BY_ID, b"4"), *_ask(BY_ID, b"five"), *_ask(BY_ID, b"6"), Sync()],
            [Bind(b"", b"", (), (b"6",), ()), Execute(b""), Sync()],
        ],
        hits=2,
    ),
    "a pipeline of reads with an error at the end": Talk(
        [
            [*_ask(BY_ID, b"4"), *_ask("SELECT price / (id - $1) FROM items WHERE id = 7", b"7"), Sync()],
            [Bind(b"", b"", (), (b"6",), ()), Execute(b""), Sync()],
        ],
        hits=2,
    ),
    "a pipeline of reads in a block with an error in it": Talk(
        [
            q("BEGIN"),
            [*_ask(BY_ID, b"4"), *_ask(BY_ID, b"five"), *_ask(BY_ID, b"6"), *_command("COMMIT"), Sync()],
            q(READ),
            q("COMMIT"),
            q(READ),
        ],
        hits=2,
        held=1,
        sent=1,
    ),
    "a pipeline with a write in it": Talk(
        [
            [*_ask(BY_ID, b"1"), *_ask("INSERT INTO log VALUES (1, 'a')"), *_ask(BY_ID, b"1"), Sync()],
            q("DELETE FROM log"),
        ]
    ),
    "reads prepared in a block that changes the session again and again": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL jit = off"), _prepare(b"one")),
            *(q("SET LOCAL jit = off"), _prepare(b"two"), x("", name=b"two")),
            [Close(Target.STATEMENT, b"one"), Close(Target.STATEMENT, b"two"), Sync()],
            q("COMMIT"),
        ],
        held=1,
        sent=1,
    ),
    "prepared and flushed, then run": Talk(
        [
            [Parse(b"f", BY_ID.encode()), Describe(Target.STATEMENT, b"f"), Flush()],
            x("", b"7", name=b"f"),
            [Close(Target.STATEMENT, b"f"), Sync()],
            [Parse(b"", BY_ID.encode()), Describe(Target.STATEMENT, b""), Flush()],
            [Bind(b"", b"", (), (b"8",), ()), Execute(b""), Sync()],
        ],
        hits=2,
    ),
    "reads that are flushed": Talk(
        [
            [*_ask(BY_ID, b"1"), *_ask(BY_ID, b"2"), Flush()],
            [*_ask(BY_ID, b"3"), Flush()],
            [Flush()],
            [Sync()],
            [Flush()],
            [*_ask(BY_ID, b"4"), Sync()],
        ],
        hits=4,
    ),
    "a block that is flushed": Talk(
        [
            [*_command("BEGIN"), *_ask(BY_ID, b"1"), Flush()],
            [*_ask(BY_ID, b"2"), Flush()],
            [*_command("COMMIT"), Sync()],
        ],
        hits=2,
        held=1,
    ),
    "a write behind reads that are flushed": Talk(
        [
            [*_command("BEGIN"), *_ask(BY_ID, b"1"), Flush()],
            [*_ask("INSERT INTO log VALUES (1, 'a')"), *_ask(BY_ID, b"2"), Flush()],
            [*_ask(BY_ID, b"3"), Sync()],
            q("ROLLBACK"),
            [*_ask(BY_ID, b"1"), Flush()],
            [*_ask("INSERT INTO log VALUES (1, 'a')"), *_ask("SELECT 1/0"), Flush()],
            [*_ask(BY_ID, b"3"), Sync()],
        ],
        hits=2,
        held=1,
        sent=1,
    ),
    "errors in parts that are flushed": Talk(
        [
            [*_ask(BY_ID, b"one"), Flush()],
            [*_ask(BY_ID, b"2"), Flush()],
            [Query(b"SELECT 'skipped'")],
            [*_ask(BY_ID, b"3"), Sync()],
            [Parse(b"bad", b"SELECT nothing FROM items"), Describe(Target.STATEMENT, b"bad"), Flush()],
            [Bind(b"", b"bad", (), (), ()), Execute(b""), Sync()],
            q("BEGIN"),
            [*_ask(BY_ID, b"one"), Flush()],
            [*_command("ROLLBACK"), Sync()],
            q("ROLLBACK"),
            q(READ),
        ],
        hits=1,
        held=1,
    ),
    "what is known already, where it is skipped": Talk(
        [
            [*_ask(BY_ID, b"3"), Sync()],
            [*_ask(BY_ID, b"one"), Flush()],
            [Query(b"SELECT 'skipped'")],
            [*_ask(BY_ID, b"3"), Sync()],
            [*_ask(BY_ID, b"3"), Sync()],
        ],
        hits=2,
    ),
    "a portal that outlives its part": Talk(
        [
            [*_ask(SOME, limit=2), Flush()],
            [Execute(b"", 2), Flush()],
            [Execute(b""), Sync()],
            [Execute(b""), Sync()],
        ],
        hits=1,
    ),
    "a portal that is bound in one part and run in the next": Talk(
        [[Parse(b"", BY_ID.encode()), Bind(b"", b"", (), (b"5",), ()), Flush()], [Execute(b""), Sync()]]
    ),
    "a setting of a block": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL app.tenant = 'T1'"), q(OWNED), q(OWNED), q(READ), q("COMMIT"), q(OWNED)),
            *(q("BEGIN"), q("set local App.TENANT to 'T2';"), q(OWNED), q("ROLLBACK"), q(OWNED)),
            *(q("BEGIN"), q(OWNED), q('SET LOCAL "app"."tenant" = 7'), q(OWNED), q("COMMIT"), q(OWNED)),
            *(q("BEGIN"), q("SET LOCAL app.tenant = 'it''s'"), q(OWNED), q("SET LOCAL app.tenant = 'T1'"), q(OWNED)),
            *(q("COMMIT"), q(SHOWN)),
        ],
        hits=11,
        held=4,
        before=_TENANTS,
    ),
    "a setting of a block by a function": Talk(
        [
            *(x("BEGIN"), x(SET_TENANT, b"T1"), x(OWNED_BY_ID, b"1"), x(OWNED_BY_ID, b"2"), x("COMMIT")),
            *(x("BEGIN"), x(SET_TENANT, b"T2", limit=1), x(OWNED_BY_ID, b"2"), x("ROLLBACK"), x(OWNED_BY_ID, b"2")),
            *(q("BEGIN"), q("SELECT set_config('app.tenant', 'T1', TRUE) AS tenant"), q(OWNED), q("COMMIT")),
            [*_command("BEGIN"), *_ask(SET_TENANT, b"T1"), *_ask(OWNED_BY_ID, b"1"), *_ask(OWNED), Sync()],
            [*_ask(OWNED_BY_ID, b"4"), *_command("COMMIT"), *_ask(OWNED_BY_ID, b"4"), Sync()],
            [*_command("BEGIN"), *_ask(SET_TENANT, b"T2"), Flush()],
            [*_ask(OWNED), *_command("COMMIT"), *_ask(OWNED), Sync()],
        ],
        hits=11,
        held=5,
        before=_TENANTS,
    ),
    "a setting of a block that Postgres has to see": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL app.tenant = 'T1'"), q(OWNED), q(SHOWN), q(OWNED), q("COMMIT"), q(OWNED)),
            *(q("BEGIN"), q("SET LOCAL app.tenant = 'T2'"), q("INSERT INTO log VALUES (1, 'a')"), q(SHOWN), q(OWNED)),
            *(q("ROLLBACK"), q(OWNED), q(SHOWN)),
            *(
                q("BEGIN"),
                q("SET LOCAL app.tenant = 'T2'"),
                q("SAVEPOINT a"),
                q("SET LOCAL app.tenant = 'T1'"),
                q(OWNED),
            ),
            *(q("ROLLBACK TO a"), q(OWNED), q(SHOWN), q("COMMIT"), q(SHOWN)),
        ],
        hits=None,
        before=_TENANTS,
    ),
    "settings that only Postgres can make": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL app.tenant = 042"), q(OWNED), q(SHOWN), q("COMMIT")),
            *(q("BEGIN"), q("SET LOCAL app.tenant = DEFAULT"), q(OWNED), q("COMMIT")),
            *(q("BEGIN"), q("SET LOCAL app.user = 'T1'"), q("ROLLBACK")),
            *(q("BEGIN"), q("SET app.tenant = 'T1'"), q(OWNED), q("ROLLBACK"), q(OWNED), q(SHOWN)),
            *(q("BEGIN"), x(SET_TENANT, None), x(OWNED), q(SHOWN), q("ROLLBACK")),
            *(q("BEGIN"), x(SET_TENANT), q("ROLLBACK")),
            *(q("BEGIN"), x(SET_TENANT, b"\xff"), q("ROLLBACK"), q("SET LOCAL app.tenant = 'T1'"), q(OWNED)),
            *(q("BEGIN"), q("SET LOCAL app.other = 'T1'"), q("SELECT current_setting('app.other')"), q("COMMIT")),
        ],
        hits=None,
        before=_TENANTS,
    ),
    "a transaction's level behind a setting": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL app.tenant = 'T1'"), q("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")),
            *(q("SHOW transaction_isolation"), q("COMMIT"), q("BEGIN"), x(SET_TENANT, b"T1")),
            *(q("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"), q("ROLLBACK")),
        ],
        hits=None,
        before=_TENANTS,
    ),
    "a read that fails behind a setting": Talk(
        [
            *(q("BEGIN"), q("SET LOCAL app.tenant = 'T1'"), q("SELECT 1 / (id - 1) FROM owned"), q(OWNED), q("COMMIT")),
            *(x("BEGIN"), x(SET_TENANT, b"T1"), x("SELECT id / (id - 1) FROM owned"), x(OWNED), x("COMMIT"), q(OWNED)),
        ],
        hits=1,
        held=2,
        sent=2,
        before=_TENANTS,
    ),
    "a portal behind a setting": Talk(
        [
            *(x("BEGIN"), x(SET_TENANT, b"T1"), x(OWNED, limit=2), _fetch(2), x("COMMIT")),
            *(x("BEGIN"), x(OWNED, limit=2), q("SET LOCAL app.tenant = 'T1'"), _fetch(2), x("COMMIT")),
            *(x("BEGIN"), x("SET LOCAL app.tenant = 'T1'"), _fetch(0), x("COMMIT")),
        ],
        hits=None,
        before=_TENANTS,
    ),
    "no statement of that name": Talk([q("BEGIN"), x("", b"1", name=b"none"), q("ROLLBACK")], held=1, sent=1),
}


def _hold(client: WireClient, turns: Sequence[Turn]) -> list[bytes]:
    answers = []
    for turn in turns:
        client.send(*turn)
        ends = sum(isinstance(message, Query | Sync | FunctionCall) for message in turn)
        ends -= turn == [Query(b"SELECT 'skipped'")]  # behind an error: the Sync is awaited
        answers.append(raw(client.read_until("Z", ends)))
    return answers


@pytest.mark.parametrize("name", TALKS)
def test_a_conversation_has_the_bytes_of_postgres_cold_and_warm(proxied: ProxiedPostgres, name: str) -> None:
    talk = TALKS[name]
    with proxied.direct_wire() as direct:
        _hold(direct, talk.before)
        expected = _hold(direct, talk.turns)
    with proxied.wire() as client:
        _hold(client, talk.before)

        def counted() -> tuple[float, float, float]:
            before = _counts(proxied)
            assert _hold(client, talk.turns) == expected
            return _difference(_counts(proxied), before)

        wanted = (talk.hits, talk.held, talk.sent)
        for _ in range(5):  # the replies are ready-made from some time on
            if talk.hits is None:
                counted()
            else:  # what may have changed the schema keeps the session from the cache for a moment
                wait_until(lambda: counted() == wanted, f"hits, blocks held, blocks sent: {wanted}")


def test_a_notification_never_comes_in_the_middle_of_a_block(proxied: ProxiedPostgres) -> None:
    block = [q("BEGIN"), q(READ), q("COMMIT")]
    with proxied.wire() as earlier:
        expected = _hold(earlier, block)
        wait_until(lambda: _held(proxied, earlier, block) == 1, "a block that is held back")
        for _ in range(5):
            assert _hold(earlier, block) == expected  # ready-made by now

        with proxied.wire() as client:
            client.query("LISTEN news")
            assert _hold(client, block) == expected
            for _ in range(3):
                client.query("BEGIN")
                proxied.server.execute("NOTIFY news")
                assert [answer.kind for answer in client.query(READ)] == ["T", "D", "C", "Z"]
                assert [answer.kind for answer in client.query("COMMIT")] in (["C", "A", "Z"], ["C", "Z", "A"])
            assert _held(proxied, client, block) == 0

            client.query("UNLISTEN *")
            assert _held(proxied, client, block) == 1
            client.query("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL")
            assert _held(proxied, client, block) == 1


def test_what_is_flushed_is_answered_at_once(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:
        for _ in range(5):
            client.send(Parse(b"", BY_ID.encode()), Describe(Target.STATEMENT, b""), Flush())
            assert [client.read().kind for _ in range(3)] == ["1", "t", "T"]
            client.send(Bind(b"", b"", (), (b"7",), ()), Execute(b""), Flush())
            assert [client.read().kind for _ in range(3)] == ["2", "D", "C"]
            client.send(*_ask(BY_ID, b"8"), Flush())
            assert [client.read().kind for _ in range(5)] == ["1", "2", "T", "D", "C"]
            client.send(Sync())
            assert client.read().kind == "Z"


def _held(proxied: ProxiedPostgres, client: WireClient, turns: Sequence[Turn]) -> float:
    before = _counts(proxied)[1]
    _hold(client, turns)
    return _counts(proxied)[1] - before


def test_a_cursor_leaves_the_session_in_the_cache(proxied: ProxiedPostgres) -> None:
    """Portals fetched in parts, by the protocol and by SQL: statements are not forgotten, and nothing was written."""
    named: Turn = [Bind(b"", b"s", (), (b"7",), ()), Execute(b""), Sync()]
    cursors: Sequence[Turn] = [
        q("BEGIN"),
        [Parse(b"c", SOME.encode()), Bind(b"p", b"c", (), (), ()), Sync()],
        [Execute(b"p", 2), Sync()],
        [Execute(b"p"), Close(Target.STATEMENT, b"c"), Sync()],
        q(f"DECLARE d CURSOR FOR {SOME}"),
        q("FETCH 3 FROM d"),
        q("COMMIT"),
    ]
    with proxied.wire() as client:
        client.turns(Parse(b"s", BY_ID.encode()), Sync())
        proxied.wait_cached(lambda: client.turns(*named))
        for _ in range(3):
            _hold(client, cursors)
            wait_until(lambda: proxied.is_hit(lambda: client.turns(*named)), "a hit by the statement's name", 3)


def _counts(proxied: ProxiedPostgres) -> tuple[float, float, float]:
    counter = proxied.stack.counter
    return proxied.hits(), counter("tidegate_proxy_blocks_held_total"), counter("tidegate_proxy_blocks_sent_total")


def _difference(after: tuple[float, float, float], before: tuple[float, float, float]) -> tuple[float, float, float]:
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]
