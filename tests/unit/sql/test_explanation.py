"""What `tidegate explain` says."""

from dataclasses import replace

import pytest

from services.proxy.explain.explanation import Explanation, explain, lines
from services.proxy.sql.snapshot import Catalog
from services.proxy.sql.statement import NameSpace
from services.shared.keyspace.canonical import TypeOid, canonical_text
from services.shared.keyspace.tags import entry_tag, occurrence_tags, shape_tag
from services.shared.relation import Shape, ShapeColumn
from tests.unit.sql.small_catalog import USERS, column, small_catalog, table

PUBLIC = NameSpace(("pg_catalog", "public"))
FULL = table(
    20_300, "told", column("id", "int4"), column("owner", "int4"), column("note"), identity="f",
    identity_columns=frozenset(("id", "owner", "note")),
)  # fmt: skip
PARTS = [
    table(20_311, "years_1", column("id", "int4"), column("owner", "int4")),
    table(20_312, "years_2", column("id", "int4"), column("owner", "int4"), identity="f"),
]
YEARS = table(20_310, "years", column("id", "int4"), column("owner", "int4"), kind="p", parts=(20_311, 20_312))
VIEW = table(20_320, "named_users", column("id", "int4"), kind="v", publication_entry=None, rules=True)
OUTER = table(20_321, "outer_view", column("id", "int4"), kind="v", publication_entry=None, rules=True)
BAD = table(20_322, "bad_view", column("id", "int4"), kind="v", publication_entry=None, rules=True)
FLAGGED = table(
    20_340, "flagged", column("id", "int4"), column("name"), column("created", "timestamptz"), column("active", "bool")
)
LOOSE = table(20_330, "loose", column("id", "int4"), column("mood", "mood", user_type=True), publication_entry=None)
CATALOG = small_catalog(
    FULL, YEARS, *PARTS, VIEW, OUTER, BAD, LOOSE, FLAGGED,
    table(20_301, "made", kind="m", publication_entry=None, rules=True),
    views={
        VIEW.oid: " SELECT users.id\n   FROM public.users\n  WHERE users.name = 'x'::text;",
        OUTER.oid: " SELECT named_users.id FROM public.named_users;",
        BAD.oid: " SELECT random() AS id FROM public.users;",
    },
)  # fmt: skip
_BY_NAME = Shape(USERS.oid, (ShapeColumn("name", TypeOid.TEXT),))
_SHOWN = (
    occurrence_tags(_BY_NAME, [canonical_text(TypeOid.TEXT, "x") or b""])[0],
    entry_tag(_BY_NAME),
    shape_tag(Shape(USERS.oid, (ShapeColumn("id", TypeOid.INT4),))),
)
_FULL = "(more WAL, which tidegate check measures)"


def _explained(text: str, *parameters: str, catalog: Catalog = CATALOG) -> Explanation:
    return explain(text, catalog, PUBLIC, parameters=parameters)


def _narrower(text: str, *parameters: str) -> list[str]:
    return [sentence for dependency in _explained(text, *parameters).dependencies for sentence in dependency.narrower]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "SELECT * FROM users WHERE id = $1",
            [
                "cached",
                "  public.users where id = $1",
                "    tags id=$1, any id",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by DELETE of such a row",
                "    evicted by an UPDATE of such a row, or into one",
                "  to see what evicts it: give --param VALUE for each parameter, and this will say how",
            ],
        ),
        (
            "SELECT name FROM users WHERE name = $1",
            [
                "cached",
                "  public.users where name = $1",
                "    tags name=$1, any name",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by any UPDATE or DELETE: they do not tell the old name",
                f"    narrower: ALTER TABLE public.users REPLICA IDENTITY FULL {_FULL}: changes then tell the old "
                "name, and an UPDATE then has to touch name",
                "    narrower: or, with less WAL, a unique index on (name, id), all NOT NULL, as REPLICA IDENTITY "
                "USING INDEX",
                "  to see what evicts it: give --param VALUE for each parameter, and this will say how",
            ],
        ),
        (
            "SELECT * FROM users WHERE name = 'x'",
            [
                "cached",
                "  public.users where name = 'x'",
                "    tags name=x, any name of a new row, any id",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by UPDATE or DELETE of a row that it shows, by its id, and an UPDATE into such a row",
                "    narrower: name the columns that you need in place of *, so that an UPDATE of others evicts "
                "nothing (with FULL)",
                "  to see what evicts it (beside changes of rows that it shows): tidegate tail "
                + " ".join(f"--tag '{tag}'" for tag in _SHOWN),
            ],
        ),
        (
            "SELECT id FROM told WHERE owner IN (1, $2)",
            [
                "cached",
                "  public.told where owner IN (1, $2)",
                "    tags owner=1, owner=$2, any owner",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by DELETE of such a row",
                "    evicted by an UPDATE of such a row, or into one that touches id or owner",
                "    narrower: write $2::int4, unless your driver declares that type: without one it is not sure what "
                "is compared, and any change of the table evicts",
                "  to see what evicts it: give --param VALUE for each parameter, and this will say how",
            ],
        ),
        (
            "SELECT count(*) FROM told",
            [
                "cached",
                "  public.told",
                "    tags reads of all rows for their number",
                "    evicted by INSERT, DELETE and TRUNCATE of any row",
                "    narrower: a condition that holds a column equal to a value (=, IN, = ANY) or in a range: then "
                "only such rows count",
                f"  to see what evicts it: tidegate tail --tag '{occurrence_tags(Shape(FULL.oid, (), ()), [])[0]}'",
            ],
        ),
        (
            "SELECT name, now() FROM users",
            ["forwarded: current_time (now)", "  The statement asks for the time; pass it as a parameter, or let "
             "answers age (`ageing_ttl`)."],
        ),
        (
            "SELECT * FROM users WHERE created = 'yesterday'",
            ["forwarded: relative_time_input ('yesterday')", "  A text may mean a moment relative to now; pass that, "
             "or let answers age (`ageing_ttl`)."],
        ),
        (
            "SELECT 'a",
            ["forwarded: lex_error", "  The text cannot be cut into tokens with certainty; write literals and "
             "identifiers plainly."],
        ),
    ],
)  # fmt: skip
def test_a_statement_is_explained(text: str, told: list[str]) -> None:
    assert list(lines(_explained(text))) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT 1 FROM told", ["cached", "  public.told", "    tags reads of all rows for their number"]),
        (
            "SELECT now() FROM told",
            [
                "cached for at most 30s (ageing_ttl), since",
                "  the time moves on (only outside of transactions and pipelines)",
                "  public.told",
                "    tags reads of all rows for their number",
                "    evicted by INSERT, DELETE and TRUNCATE of any row",
            ],
        ),
        (
            "SELECT id FROM made WHERE v < 'today'",
            [
                "cached for at most 30s (ageing_ttl), since",
                "  the time moves on (only outside of transactions and pipelines)",
                "  materialized views are refreshed (which evicts it as well, as soon as the proxy sees it)",
            ],  # and nothing else: it has no tags
        ),
        ("SELECT now(), random() FROM told", ["forwarded: volatile_function (random)"]),
    ],
)
def test_what_ages_is_explained_with_its_time(text: str, told: list[str]) -> None:
    explanation = explain(text, CATALOG, PUBLIC, ageing_ttl=30.0)
    assert list(lines(explanation))[: len(told)] == told
    assert (explanation.ttl_seconds is not None) == bool(explanation.ageing)
    assert any("tidegate tail" in line for line in lines(explanation)) == bool(explanation.dependencies)


def test_with_its_parameters_the_tags_are_those_of_the_proxy() -> None:
    shape = Shape(FULL.oid, (ShapeColumn("owner", TypeOid.INT4),), ("id", "owner"))
    (dependency,) = _explained("SELECT id FROM told WHERE owner = $1", "7").dependencies
    carried = occurrence_tags(shape, [canonical_text(TypeOid.INT4, "7") or b""])
    assert [(tag.words, tag.tag) for tag in dependency.tags] == [("owner=7", carried[0]), ("any owner", carried[1])]

    (several,) = _explained("SELECT id FROM told WHERE owner = ANY ($1)", "{1,2}").dependencies
    assert len({tag.tag for tag in several.tags}) == 3


def test_a_parameter_of_unsure_type_stands_for_all_rows() -> None:
    (dependency,) = _explained("SELECT id FROM told WHERE owner = $1 AND length(note) > $1", "7").dependencies

    assert dependency.rows == ""
    assert [tag.words for tag in dependency.tags] == ["reads of all rows"]
    assert dependency.evicted_by[0] == "INSERT, DELETE and TRUNCATE of any row"
    assert dependency.narrower[0].startswith("write $1::int4")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("lower(name) = 'x'", "LOWER(name) = 'x': an expression hides the column; compare name itself"),
        ("name::varchar = 'x'", "CAST(name AS VARCHAR) = 'x': a cast hides the column; compare name itself"),
        ("name > 'x'", "name > 'x': the order of type text is not known here, so a range does not count"),
        ("name LIKE 'x%'", "name LIKE 'x%': only = a value, IN, = ANY and ranges count"),
        (
            "created = $1",
            "created = $1: equal values of type timestamptz have several forms, so it does not count; a r",
        ),
        ("id = 5.5", "id = 5.5: the value should be a plain one of the column's type"),
        ("active", "active: that a column is true does not count as it is written; active = 'true' (or 'false') does"),
        ("NOT active = TRUE", "NOT active = TRUE: that a column is true does not count as it is written"),
        ("name = 's1' AND (name::json -> 'a') IS NULL AND id + 7 = 3", "id + 7 = 3: an expression hides the column"),
        ("upper(name) = 's2' || 's1'", "UPPER(name) = 's2' || 's1': an expression hides the column"),
        ("(name::json ->> 'a') = 'b'", "(CAST(name AS JSON) ->> 'a') = 'b': a cast hides the column"),
        ("(id = 1 OR length(name) = 3)", "id = 1 OR LENGTH(name) = 3: an OR counts only if each alternative holds"),
    ],
)
def test_conditions_that_do_not_count_are_told_with_the_reason(condition: str, said: str) -> None:
    narrower = _narrower(f"SELECT id FROM flagged WHERE {condition}")
    assert any(sentence.startswith(said) for sentence in narrower), narrower


def test_what_is_advised_in_place_of_a_condition_counts() -> None:
    (dependency,) = _explained("SELECT id FROM flagged WHERE active = 'true'").dependencies
    assert dependency.rows == "active = 'true'"
    (dependency,) = _explained("SELECT id FROM flagged WHERE created >= '2026-01-01 00:00:00+00'").dependencies
    assert dependency.rows == "created >= '2026-01-01 00:00:00+00'"


def test_a_range_is_told_with_the_blocks_that_it_is_put_together_from() -> None:
    (dependency,) = _explained("SELECT * FROM told WHERE owner BETWEEN $1 AND $2", "5", "900").dependencies

    assert dependency.rows == "owner >= $1 and owner <= $2"
    assert {tag.words for tag in dependency.tags} == {"a range of owner", "any owner"}
    assert len(dependency.tags) > 5
    assert dependency.evicted_by[1] == "DELETE of such a row"
    told = list(lines(_explained("SELECT * FROM told WHERE owner BETWEEN 5 AND 900")))
    assert told[-1] == "  to see what evicts it: tidegate explain --json … | tidegate tail --explained -"
    (untold,) = _explained("SELECT name FROM users WHERE created > $1").dependencies
    assert [tag.words for tag in untold.tags] == ["a range of created", "any created"]
    assert "changes then tell the old created" in untold.narrower[0]


def test_conditions_that_count_are_not_complained_of() -> None:
    assert _narrower("SELECT count(*) FILTER (WHERE id = 5) FROM told WHERE owner = 5 GROUP BY owner") == []
    assert _narrower("SELECT id FROM told WHERE owner = 5") == []
    assert _narrower("SELECT * FROM told WHERE id = 5 AND note > 'a'") == []  # one row: nothing is narrower
    assert _narrower("SELECT t.id FROM told t JOIN users u ON u.id = t.owner WHERE t.owner = 5 AND u.name > 'a'") == [
        f"ALTER TABLE public.users REPLICA IDENTITY FULL {_FULL}: an UPDATE then has to touch id or name"
    ]


def test_what_an_identity_would_do_is_what_the_analysis_then_says() -> None:
    (full, other) = _narrower("SELECT status FROM orders WHERE user_id = 5")
    assert full == (
        f"ALTER TABLE public.orders REPLICA IDENTITY FULL {_FULL}: changes then tell the old user_id, and an UPDATE "
        "then has to touch status or user_id"
    )
    assert other.startswith("or, with less WAL, a unique index on (user_id, id)")
    (both,) = _narrower("SELECT * FROM items WHERE order_id = 5 AND sku = 'x'")[:1]
    assert "the condition on sku then counts too" in both


def test_an_index_that_tells_enough_is_advised_in_place_of_full() -> None:
    def advised(*columns: str) -> str:
        found = explain(
            "SELECT name FROM users WHERE name = 'x'", CATALOG, PUBLIC, indexes={USERS.oid: [("i", frozenset(columns))]}
        )
        return found.dependencies[0].narrower[0]

    assert (
        advised("id", "name")
        == "ALTER TABLE public.users REPLICA IDENTITY USING INDEX i: changes then tell the old name"
    )
    assert "FULL" in advised("name")
    assert "FULL" in advised("id")


def test_of_a_partitioned_table_the_identities_of_its_partitions_count() -> None:
    (dependency,) = _explained("SELECT owner FROM years WHERE owner = 5").dependencies

    assert "any UPDATE or DELETE of public.years_1: they do not tell the old owner" in dependency.evicted_by
    assert dependency.evicted_by[-1].endswith(" elsewhere")
    assert dependency.narrower[0].startswith(
        "ALTER TABLE public.years_1 REPLICA IDENTITY FULL; ALTER TABLE public.years REPLICA IDENTITY FULL (more WAL"
    )


def test_a_view_is_shown_with_what_it_was_expanded_to() -> None:
    explanation = _explained("SELECT o.id FROM outer_view o JOIN told ON told.id = o.id")

    assert [(found.table, found.views) for found in explanation.dependencies] == [
        ("public.users", ("public.outer_view",)),
        ("public.told", ()),
    ]
    told = "\n".join(lines(explanation))
    assert "  public.users (through the view public.outer_view)" in told
    assert "  the view public.named_users is SELECT users.id FROM public.users WHERE users.name = 'x'::text\n" in told
    assert "  the view public.outer_view is SELECT named_users.id FROM public.named_users\n" in told


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SELECT gen_random_uuid() FROM users", "volatile_function (gen_random_uuid)"),
        ("SELECT my_function(id) FROM users", "user_function (my_function)"),
        ("SELECT id FROM users, nowhere.nothing", "unknown_relation (nowhere.nothing)"),
        ("SELECT relname FROM users, pg_class", "system_catalog (pg_catalog.pg_class)"),
        ("SELECT id FROM loose", "not_published (public.loose)"),
        ("SELECT mood FROM other.users, loose", "not_published (public.loose)"),
        ("SELECT id FROM users WHERE name <=> 'x'", "unknown_operator (<=>)"),
        ("SELECT id::regclass FROM users", "reg_type_cast (regclass)"),
        ("SELECT ctid FROM users", "system_column (ctid)"),
        ("SELECT u.nothing FROM users u", "unknown_column (u.nothing)"),
        ("SELECT id FROM bad_view", "volatile_function (random in the view public.bad_view)"),
        ("UPDATE users SET id = 1", "not_a_select"),
    ],
)
def test_what_is_to_blame_is_named(text: str, first: str) -> None:
    assert next(lines(_explained(text))) == f"forwarded: {first}"


def test_a_column_of_an_unknown_type_is_named() -> None:
    published = replace(LOOSE, publication_entry=1)
    relations = dict(CATALOG.relations) | {("public", "loose"): published}
    told = _explained("SELECT mood FROM loose", catalog=replace(CATALOG, relations=relations))
    assert told.culprit == "public.loose.mood of type mood"
