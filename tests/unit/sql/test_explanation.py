"""What `tidegate explain` says."""

import pytest

from services.proxy.explain.explanation import explain, lines
from services.proxy.sql.statement import NameSpace
from tests.unit.sql.small_catalog import column, small_catalog, table

PUBLIC = NameSpace(("pg_catalog", "public"))
FULL = table(
    20_300, "told", column("id", "int4"), column("owner", "int4"), column("note"), identity="f",
    identity_columns=frozenset(("id", "owner", "note")),
)  # fmt: skip
CATALOG = small_catalog(FULL, table(20_301, "made", kind="m", publication_entry=None, rules=True))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "SELECT * FROM users WHERE id = 7",
            [
                "cached",
                "  public.users where id = 7",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by DELETE of such a row",
                "    evicted by an UPDATE of such a row, or into one",
            ],
        ),
        (
            "SELECT * FROM users WHERE name = $1",
            [
                "cached",
                "  public.users where name = $1",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by any UPDATE or DELETE: they do not tell the old name",
                "    narrower: ALTER TABLE public.users REPLICA IDENTITY FULL (more WAL), so that changes tell the old "
                "values",
            ],
        ),
        (
            "SELECT note FROM told WHERE owner IN (1, $2) AND id = ANY ($1)",
            [
                "cached",
                "  public.told where id = ANY ($1)",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by DELETE of such a row",
                "    evicted by an UPDATE of such a row, or into one",
            ],
        ),
        (
            "SELECT id FROM told WHERE owner IN (1, $2)",
            [
                "cached",
                "  public.told where owner IN (1, $2)",
                "    evicted by INSERT of such a row, TRUNCATE",
                "    evicted by DELETE of such a row",
                "    evicted by an UPDATE of such a row, or into one that touches id or owner",
            ],
        ),
        (
            "SELECT count(*) FROM told",
            ["cached", "  public.told", "    evicted by INSERT, DELETE and TRUNCATE of any row"],
        ),
        (
            "SELECT name, now() FROM users",
            ["forwarded: current_time", "  The statement asks for the time; pass it as a parameter, or let answers age "
             "(`ageing_ttl`)."],
        ),
        (
            "SELECT * FROM users WHERE created = 'yesterday'",
            ["forwarded: relative_time_input", "  A text may mean a moment relative to now; pass that, or let answers "
             "age (`ageing_ttl`)."],
        ),
        (
            "SELECT 'a",
            ["forwarded: lex_error", "  The text cannot be cut into tokens with certainty; write literals and "
             "identifiers plainly."],
        ),
    ],
)  # fmt: skip
def test_a_statement_is_explained(text: str, told: list[str]) -> None:
    assert list(lines(explain(text, CATALOG, PUBLIC))) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT 1 FROM told", ["cached", "  public.told", "    evicted by INSERT, DELETE and TRUNCATE of any row"]),
        (
            "SELECT now() FROM told",
            [
                "cached for at most 30s (ageing_ttl), since",
                "  the time moves on (only outside of transactions and pipelines)",
                "  public.told",
                "    evicted by INSERT, DELETE and TRUNCATE of any row",
            ],
        ),
        (
            "SELECT id FROM made WHERE v < 'today'",
            [
                "cached for at most 30s (ageing_ttl), since",
                "  the time moves on (only outside of transactions and pipelines)",
                "  materialized views are refreshed (which evicts it as well, as soon as the proxy sees it)",
            ],
        ),
        ("SELECT now(), random() FROM told", ["forwarded: volatile_function"]),
    ],
)
def test_what_ages_is_explained_with_its_time(text: str, told: list[str]) -> None:
    explanation = explain(text, CATALOG, PUBLIC, ageing_ttl=30.0)
    assert list(lines(explanation))[: len(told)] == told
    assert (explanation.ttl_seconds is not None) == bool(explanation.ageing)
