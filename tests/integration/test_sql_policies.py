"""Policies as the newest and the oldest Postgres write them: which are understood, and what they make answers read."""

from collections.abc import Iterator

import pytest

from services.proxy.sql.catalog import Catalog
from services.proxy.sql.reserved_words import RESERVED_WORDS
from tests.integration.sql_database import judge, names, read_catalog
from tests.servers.postgres import PostgresServer

_SCHEMA = """
CREATE TABLE members (tenant int, login text, day date, PRIMARY KEY (tenant, login));
CREATE TABLE unpublished (tenant int PRIMARY KEY);
CREATE VIEW colleagues AS SELECT tenant, login FROM members;
CREATE SCHEMA auth; CREATE SCHEMA "Odd";
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid; -- the caller's
    $$;
CREATE FUNCTION "Odd"."Who am I"() RETURNS text LANGUAGE sql STABLE AS 'SELECT current_user';
CREATE FUNCTION auth.reading() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(tenant) FROM members';
CREATE FUNCTION auth.naming() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(tenant) FROM public.members';
CREATE FUNCTION auth.pinned() RETURNS text LANGUAGE sql STABLE SET app.x = '1' AS $$SELECT current_setting('app.x')$$;
CREATE FUNCTION auth.defining() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT current_user';
CREATE FUNCTION auth.day() RETURNS date LANGUAGE sql STABLE AS $$SELECT current_setting('app.day')::date$$;
CREATE FUNCTION auth.several() RETURNS text LANGUAGE sql AS $$SELECT set_config('app.x', '1', true); SELECT '1'$$;
CREATE FUNCTION auth.coded() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 1; END';
CREATE FUNCTION auth.given(text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$SELECT $1 = 'x'$$;
"""
_UNDERSTOOD: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # the settings and the tables that it reads
    "true": ((), ()),
    "owner = current_user": ((), ()),
    "owner = session_user OR owner IN (current_role, user)": ((), ()),
    "tenant = current_setting('app.tenant')::int": (("app.tenant",), ()),
    "tenant = nullif(current_setting('App.Tenant', true), '')::int": (("App.Tenant",), ()),
    "current_setting('a.b', true) = 'x' AND owner <> current_setting('c.d')": (("a.b", "c.d"), ()),
    "(current_setting('request.jwt.claims', true)::json ->> 'sub') = owner": (("request.jwt.claims",), ()),
    "holder = auth.uid()": (("request.jwt.claim.sub",), ()),
    "holder = (SELECT auth.uid())": (("request.jwt.claim.sub",), ()),
    'owner = "Odd"."Who am I"()': ((), ()),
    "EXISTS (SELECT 1 FROM members m WHERE m.tenant = guarded.tenant AND m.login = current_user)": ((), ("members",)),
    "tenant IN (SELECT c.tenant FROM colleagues c WHERE c.login = current_user)": ((), ("members",)),
    "tenant = auth.naming()": ((), ("members",)),
    "tenant IN (SELECT tenant FROM elsewhere)": (("app.elsewhere",), ("elsewhere",)),
    "owner ~ '^a' AND coalesce(tenant, 0) > 3": ((), ()),
}
_REFUSED = {
    "auth.reading() = tenant": "policy_relation",  # which table it means depends on who calls
    "auth.pinned() = owner": "policy_function",
    "auth.defining() = owner": "policy_function",
    "auth.day() > '2020-01-01'": "policy_function",
    "auth.several() = owner": "policy_function",
    "auth.coded() = tenant": "policy_function",
    "auth.given(owner)": "policy_function",
    "pg_has_role(owner, 'MEMBER')": "policy_function",
    "random() < 0.5": "policy_function",
    "owner < now()::text": "policy_function",
    "owner = current_database()": "policy_setting",
    "owner = current_setting('app.' || owner)": "policy_setting",
    "owner = current_setting(owner)": "policy_setting",
    "owner = current_setting('app.o''clock')": "policy_setting",
    "owner = current_setting('transaction_isolation')": "policy_setting",
    "owner = current_setting('tidegate.consistency')": "policy_setting",
    "tenant IN (SELECT tenant FROM unpublished)": "policy_relation",
    "EXISTS (SELECT FROM pg_stat_activity WHERE usename = owner)": "policy_relation",
    "current_setting('app.day')::date > '2020-01-01'": "row_security",
    "xmin::text = owner": "row_security",
}


@pytest.fixture(scope="module")
def catalog(postgres: PostgresServer) -> Iterator[Catalog]:
    """One table per expression; `guarded` is each of them in turn, in a schema of its own."""
    with postgres.database(f"policies_{postgres.version}") as database:
        statements = [_SCHEMA, "CREATE TABLE elsewhere (tenant int PRIMARY KEY)", _secured("elsewhere")]
        statements.append("CREATE POLICY p ON elsewhere USING (current_setting('app.elsewhere', true) = 'x')")
        for number, text in enumerate((*_UNDERSTOOD, *_REFUSED)):
            name = f"s{number}.guarded"
            statements.append(f"CREATE SCHEMA s{number}")
            statements.append(f"CREATE TABLE {name} (id int PRIMARY KEY, tenant int, owner text, holder uuid)")
            statements += [_secured(name), f"CREATE POLICY p ON {name} FOR SELECT USING ({text})"]
            statements.append(f"CREATE POLICY q ON {name} FOR INSERT WITH CHECK (auth.coded() = tenant)")
        postgres.execute(";".join(statements), database=database)
        published = ", ".join(f"s{number}.guarded" for number in range(len(_UNDERSTOOD) + len(_REFUSED)))
        postgres.execute(
            f"CREATE PUBLICATION tidegate_test FOR TABLE members, elsewhere, {published}", database=database
        )
        yield read_catalog(postgres, database)


def _secured(table: str) -> str:
    return f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"


def test_each_policy_is_understood_or_refused_by_name(catalog: Catalog) -> None:
    for number, (text, reads) in enumerate(_UNDERSTOOD.items()):
        analysis = judge(f"SELECT * FROM s{number}.guarded WHERE id = 7", catalog)
        settings, tables = reads
        assert (analysis.reason, analysis.settings) == ("", settings), text
        assert names(catalog, analysis.relations) == {f"s{number}.guarded", *(f"public.{name}" for name in tables)}
        own = [
            rule for rule in analysis.tag_rules if rule.shape.relation == catalog.relations[f"s{number}", "guarded"].oid
        ]
        assert [column.name for rule in own for column in rule.shape.columns] == ["id"], text
    for number, (text, reason) in enumerate(_REFUSED.items(), len(_UNDERSTOOD)):
        assert judge(f"SELECT * FROM s{number}.guarded", catalog).reason == reason, text
        assert not judge(f"SELECT *, now() FROM s{number}.guarded", catalog).ageing, text


def test_the_settings_of_all_policies_are_what_sessions_are_asked_for(catalog: Catalog) -> None:
    read = {name for settings, _ in _UNDERSTOOD.values() for name in settings}
    assert set(catalog.policy_settings) >= read
    assert not {"tidegate.consistency", "transaction_isolation"} & set(catalog.policy_settings)


def test_only_policies_that_are_understood_make_reads_and_writes_plain(catalog: Catalog) -> None:
    last = len(_UNDERSTOOD) + len(_REFUSED) - 1
    assert judge("SELECT * FROM s1.guarded", catalog).effect.writes == frozenset()
    assert judge("SELECT * FROM elsewhere", catalog).effect.writes == frozenset()
    elsewhere = catalog.relations["public", "elsewhere"].oid
    assert judge("INSERT INTO elsewhere VALUES (1)", catalog).effect.writes == frozenset((elsewhere,))
    assert judge("INSERT INTO s1.guarded VALUES (1)", catalog).effect.writes is None  # its check runs PL/pgSQL
    assert judge(f"SELECT * FROM s{last}.guarded FOR UPDATE", catalog).effect.writes is None


def test_words_that_are_no_names_are_known(postgres: PostgresServer) -> None:
    found = postgres.execute("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
    assert {word for (word,) in found} <= RESERVED_WORDS
