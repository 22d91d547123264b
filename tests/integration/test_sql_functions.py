"""The lists of functions, types and words against what each version of Postgres says."""

from collections.abc import Iterator

import pytest

from services.proxy.sql.builtin_types import MOMENT_TYPES, PLAIN_TYPES, REG_TYPES
from services.proxy.sql.call_rules import BEFORE_PARENTHESIS
from services.proxy.sql.functions import (
    ALLOWED,
    CLOCK_FUNCTIONS,
    CLOCK_WORDS,
    GIVES_MOMENT,
    GIVES_ROWS,
    HARMLESS_VOLATILE,
    IMMUTABLE,
    RUNS_QUERIES,
    SPECIAL_FORMS,
    STABLE_IN_SESSION,
    TEXT_SEARCH,
)
from services.proxy.sql.tag_families import ARRAYS, READABLE, TYPE_OIDS
from services.shared.keyspace.canonical import TypeOid
from tests.servers.postgres import PostgresServer

# Functions that came later than the oldest version, or left: unknown to some server, and refused there.
_NEWER_THAN_14 = frozenset(
    """
    any_value array_reverse array_sort casefold crc32 crc32c date_add date_subtract erf erfc gamma json_agg_strict
    json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_agg_strict
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict lgamma range_agg
    range_intersect_agg regexp_count regexp_instr regexp_like regexp_substr to_bin to_oct unicode_assigned
    uuid_extract_timestamp uuid_extract_version xmltext
    """.split()
)


@pytest.fixture(scope="module", params=["14", "15", "18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(request.param) as started:
        yield started


def rows(server: PostgresServer, sql: str) -> list[tuple[str, str]]:
    return [(str(left), str(right)) for left, right in server.execute(sql)]


def test_every_allowed_function_is_as_steady_as_its_list_says(server: PostgresServer) -> None:
    found = rows(
        server,
        "SELECT proname, provolatile FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace "
        "AND oid < 16384 AND prokind <> 'p'",
    )
    assert {name for name, volatility in found if name in IMMUTABLE and volatility != "i"} == set()
    volatile = {name for name, volatility in found if name in STABLE_IN_SESSION and volatility == "v"}
    # Of `time with time zone` only; the server's own word (`Functions.steady`) refuses it there.
    assert volatile == ({"timezone"} if server.version == "14" else set())
    assert set(ALLOWED) - {name for name, _ in found} <= _NEWER_THAN_14


def test_no_allowed_function_gives_sets_or_reads_names_or_moments_of_text(server: PostgresServer) -> None:
    """Unknown literals become what an argument wants: none may be read as the name of a catalog object."""
    found = rows(
        server,
        "SELECT p.proname, t.typname FROM pg_proc p CROSS JOIN unnest(p.proargtypes || p.prorettype) AS a(type) "
        "JOIN pg_type t ON t.oid = a.type WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384",
    )
    forbidden = REG_TYPES | {"aclitem", "cstring", "internal", "refcursor", "pg_node_tree"}
    assert {name for name, type_name in found if name in ALLOWED and type_name in forbidden} == set()
    sets = server.execute("SELECT DISTINCT proname FROM pg_proc WHERE proretset AND pronamespace = 11 AND oid < 16384")
    assert {name for (name,) in sets} & set(ALLOWED) == set()
    rows_of_names = {name for name, type_name in found if name in GIVES_ROWS and type_name in forbidden}
    assert rows_of_names == set()
    assert {name for (name,) in sets} >= GIVES_ROWS - {"json_to_record", "jsonb_to_record"}  # one row, of any columns
    named = {type_name for name, type_name in found if name in TEXT_SEARCH and type_name in forbidden}
    assert named == {"regconfig"}


def test_what_gives_rows_or_searches_text_is_steady_and_runs_no_queries(server: PostgresServer) -> None:
    volatile = {name for (name,) in server.execute("SELECT proname FROM pg_proc WHERE provolatile = 'v'")}
    assert (GIVES_ROWS | TEXT_SEARCH) & (volatile | RUNS_QUERIES) == set()


def test_no_function_in_from_names_its_columns_like_a_function(server: PostgresServer) -> None:
    """Of a single value `e.upper` is upper(e): only names that no function has may follow the alias of a call."""
    given = server.execute(
        "SELECT DISTINCT u.name FROM pg_proc p CROSS JOIN unnest(p.proargnames, p.proargmodes) AS u(name, mode) "
        f"WHERE p.proname IN ({', '.join(repr(name) for name in sorted(GIVES_ROWS))}) AND u.mode IN ('o', 't')"
    )
    assert {name for (name,) in given} == {"key", "value", "lexeme", "positions", "weights"}
    named = (
        "SELECT proname FROM pg_proc WHERE proname IN ('key', 'value', 'lexeme', 'positions', 'weights', 'ordinality')"
    )
    assert server.execute(named) == []


def test_no_allowed_function_is_a_cast_by_its_name(server: PostgresServer) -> None:
    """`date(x)` casts, whatever x is: a function of a type's name could read a text as a moment or a name."""
    types = {name for (name,) in server.execute("SELECT typname FROM pg_type WHERE typnamespace = 11 AND oid < 16384")}
    assert types & set(ALLOWED) == set()


def test_what_gives_a_moment_gives_nothing_else(server: PostgresServer) -> None:
    found = rows(
        server,
        "SELECT p.proname, t.typname FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype "
        "WHERE p.pronamespace = 11 AND p.oid < 16384",
    )
    moments = MOMENT_TYPES | {"interval", "timetz"}
    assert {name for name, type_name in found if name in GIVES_MOMENT and type_name not in moments} == set()


def test_harmless_functions_are_not_known_to_run_queries() -> None:
    assert not (ALLOWED | HARMLESS_VOLATILE) & RUNS_QUERIES


def test_words_before_a_parenthesis_call_nothing(server: PostgresServer) -> None:
    """A keyword that is also a built-in function would let that function through unread."""
    functions = {name for (name,) in server.execute("SELECT proname FROM pg_proc WHERE pronamespace = 11")}
    assert functions & (BEFORE_PARENTHESIS | SPECIAL_FORMS) <= {"like"}  # like(text, text) is the operator's function


def test_the_plain_types_are_types(server: PostgresServer) -> None:
    found = {name for (name,) in server.execute("SELECT typname FROM pg_type WHERE typnamespace = 11")}
    assert found >= PLAIN_TYPES


def test_the_types_of_tags_have_these_oids(server: PostgresServer) -> None:
    found = {
        str(name): (int(oid), int(array))
        for name, oid, array in server.execute("SELECT typname, oid, typarray FROM pg_type")
    }
    assert {name: found[name][0] for name in TYPE_OIDS} == TYPE_OIDS
    assert {oid: found[name][1] for name, oid in TYPE_OIDS.items() if oid in ARRAYS} == ARRAYS
    assert set(TYPE_OIDS.values()) == READABLE
    assert set(ARRAYS) == set(TypeOid)


def test_what_tells_the_time_tells_nothing_else(server: PostgresServer) -> None:
    found = server.execute(
        "SELECT p.proname, t.typname, p.proretset, p.oid < 16384 FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype "
        "WHERE p.pronamespace = 11 AND p.proname = ANY (%s)",
        [list(CLOCK_FUNCTIONS)],
    )
    assert {name for name, *_ in found} == CLOCK_FUNCTIONS
    times = {"timestamptz", "interval", "text"}
    others = {(name, type_name) for name, type_name, sets, _ in found if type_name not in times or sets}
    assert others == {("age", "int4")}  # age(xid)
    words = server.execute("SELECT word FROM pg_get_keywords() WHERE catcode = 'R'")
    assert {word for (word,) in words} >= CLOCK_WORDS  # nothing else goes by these names
