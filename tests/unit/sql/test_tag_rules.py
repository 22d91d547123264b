"""Which statements are tagged by the key of their row, and which by whole relations."""

import pytest

from services.proxy.sql.snapshot import Relation
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import LiteralSource, NameSpace, ParameterSource, ValueSource, analyse
from services.shared.relation import Shape, ShapeColumn
from tests.unit.sql.small_catalog import ITEMS, USERS, column, small_catalog, table

PUBLIC = NameSpace(("pg_catalog", "public"))
INTEGERS = (0, 705, 20, 21, 23)
TEXTS = (0, 705, 25, 1043)
TEXT_KEY = table(20_200, "text_key", column("id", "text"), column("v"))
LAX_TEXT_KEY = table(20_201, "lax_text_key", column("id", "text", deterministic=False), column("v"))
UUID_KEY = table(20_202, "uuid_key", column("id", "uuid"), column("v"))
CHAR_KEY = table(20_203, "char_key", column("id", "bpchar"), column("v"))
GENERATED_KEY = table(20_204, "generated_key", column("id", "int4", generated=True), column("v"))
OTHER_IDENTITY = table(20_205, "other_identity", identity="i", identity_columns=frozenset(("v",)))
FULL_IDENTITY = table(20_206, "full_identity", identity="f", identity_columns=frozenset(("id", "v")))
CATALOG = small_catalog(
    TEXT_KEY, LAX_TEXT_KEY, UUID_KEY, CHAR_KEY, GENERATED_KEY, OTHER_IDENTITY, FULL_IDENTITY
)  # fmt: skip


def key_sources(text: str, relation: Relation) -> tuple[ValueSource, ...]:
    """Return the sources of the only tag rule; () for the whole relation."""
    analysis = analyse(lex(text), CATALOG, PUBLIC)
    assert analysis.reason == ""
    (rule,) = analysis.tag_rules
    key = tuple(relation.column(name) for name in relation.primary_key)
    columns = tuple(ShapeColumn(found.name, found.type_oid) for found in key if found is not None)
    assert rule.shape == Shape(relation.oid, columns if rule.sources else ())
    return rule.sources


@pytest.mark.parametrize(
    ("condition", "sources"),
    [
        ("id = 5", (LiteralSource(0),)),
        ("5 = id", (LiteralSource(0),)),
        ("id = '5'", (LiteralSource(0),)),
        ("id = $1", (ParameterSource(0, INTEGERS),)),
        ("name = 'x' AND id = $2", (ParameterSource(1, INTEGERS),)),
        ("u.id = 5", (LiteralSource(0),)),
        ('("u"."id" = 5 AND 1=1)', (LiteralSource(0),)),
        ("((id = 5)) AND (name = 'x' OR name = 'y')", (LiteralSource(0),)),
        ("id = 5 AND EXTRACT(year FROM created) = 2000", (LiteralSource(0),)),
        ("id = 5 GROUP BY id HAVING count(*) > 1 ORDER BY 1 LIMIT 3 OFFSET 1", (LiteralSource(0),)),
        ("id = $1::INTEGER", (ParameterSource(0, INTEGERS),)),
        ("id = $1::pg_catalog.int8", (ParameterSource(0, INTEGERS),)),
        ("id = 5 OR name = 'x'", ()),
        ("(id = 5 OR name = 'x')", ()),
        ("name = 'x' OR true AND id = 5", ()),
        ("id = 5 AND name = 'x' OR name = 'y'", ()),
        ("(name = 'x' OR true AND id = 5)", ()),
        ("NOT id = 5", ()),
        ("id = -5", ()),
        ("id = 5 + 1", ()),
        ("id = 5.0", ()),
        ("id = '5'::int", ()),
        ("id = $1::numeric", ()),
        ("id = $1::text::int", ()),
        ("id = $1::int[]", ()),
        ("id <> 5", ()),
        ("id >= 5", ()),
        ("id IN (5)", ()),
        ("id = ANY ($1)", ()),
        ("id = id", ()),
        ("id = 5 IS TRUE", ()),
        ("(id = 5) IS NOT TRUE", ()),
        ("coalesce(id = 5, true)", ()),
        ("id BETWEEN 1 AND 5 AND id = 5", ()),
        ("CASE WHEN true AND id = 5 THEN true END", ()),
        ("name = 'x'", ()),
        ("true", ()),
    ],
)
def test_the_key_of_one_table(condition: str, sources: tuple[ValueSource, ...]) -> None:
    assert key_sources(f"SELECT count(*) FROM users u WHERE {condition}", USERS) == sources


@pytest.mark.parametrize(
    ("condition", "sources"),
    [
        ("order_id = 7 AND line = $1", (LiteralSource(0), ParameterSource(0, INTEGERS))),
        ("line = 1 AND order_id = 2", (LiteralSource(1), LiteralSource(0))),
        ("sku = 'a' AND line = 1 AND sku = 'b' AND order_id = '2'", (LiteralSource(3), LiteralSource(1))),
        ("order_id = 7", ()),
        ("line = 7", ()),
        ("(order_id, line) = (1, 2)", ()),
    ],
)
def test_keys_of_several_columns_are_in_the_keys_order(condition: str, sources: tuple[ValueSource, ...]) -> None:
    assert key_sources(f"SELECT * FROM items WHERE {condition}", ITEMS) == sources


@pytest.mark.parametrize(
    ("relation", "value", "sources"),
    [
        (TEXT_KEY, "'x'", (LiteralSource(0),)),
        (TEXT_KEY, "E'x'", (LiteralSource(0),)),
        (TEXT_KEY, "$$x$$", (LiteralSource(0),)),
        (TEXT_KEY, "$1", (ParameterSource(0, TEXTS),)),
        (TEXT_KEY, "$1::VARCHAR", (ParameterSource(0, TEXTS),)),
        (TEXT_KEY, "$1::VARCHAR(3)", ()),  # cuts the value
        (TEXT_KEY, "$1::CHAR(3)", ()),
        (TEXT_KEY, "'x' COLLATE \"C\"", ()),
        (TEXT_KEY, "5", ()),
        (LAX_TEXT_KEY, "'x'", ()),
        (UUID_KEY, "'7d444840-9dc0-11d1-b245-5ffdce74fad2'", (LiteralSource(0),)),
        (UUID_KEY, "$1::UUID", (ParameterSource(0, (0, 705, 2950)),)),
        (CHAR_KEY, "'x'", ()),
        (GENERATED_KEY, "5", ()),
        (OTHER_IDENTITY, "5", ()),
        (FULL_IDENTITY, "5", (LiteralSource(0),)),
    ],
)
def test_types_and_identities(relation: Relation, value: str, sources: tuple[ValueSource, ...]) -> None:
    assert key_sources(f"SELECT * FROM {relation.name} WHERE id = {value}", relation) == sources


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM users u JOIN users v ON true WHERE u.id = 5",
        "SELECT *, (SELECT max(id) FROM orders) FROM users WHERE id = 5",
        "SELECT * FROM users WHERE id = 5 UNION SELECT * FROM users",
        "SELECT * FROM (SELECT * FROM users WHERE id = 5) x",
        "WITH x AS (SELECT 1) SELECT * FROM users WHERE id = 5",
        "SELECT * FROM users WHERE EXISTS (SELECT 1 FROM users WHERE id = 5)",
        "SELECT * FROM users WHERE id = 5 AND (SELECT true)",
        "SELECT * FROM users AS u(a, id) WHERE id = 'x'",
        "(SELECT * FROM users WHERE id = 5)",
    ],
)
def test_more_than_one_block_depends_on_whole_relations(text: str) -> None:
    analysis = analyse(lex(text), CATALOG, PUBLIC)
    assert analysis.reason == ""
    assert all(rule.shape.columns == () and rule.sources == () for rule in analysis.tag_rules)
