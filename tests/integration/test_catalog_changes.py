"""What a change of the catalog does not touch is not analysed again, and would come to the same if it were."""

from services.proxy.session.templates import Template, Templates
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import NameSpace, analyse
from tests.integration.sql_corpus import by_hand
from tests.integration.sql_database import make_schema, read_catalog
from tests.servers.postgres import PostgresServer

_NAME_SPACES = (NameSpace(("pg_catalog", "public")), NameSpace(("pg_catalog", "other", "public")))
_MORE = (
    "SELECT * FROM secured",
    "SELECT id FROM view_of_secured WHERE id = 3",
    "SELECT spent FROM spenders WHERE id = $1",
    "SELECT n FROM user_count",
    'SELECT * FROM "Odd Schema"."A View"',
    "SELECT * FROM parted_low WHERE id = 5",
    "SELECT * FROM family_child",
    "SELECT * FROM only_there",
    "SELECT * FROM fresh",
    'SELECT U&"fr\\0065sh".id FROM orders',
    "INSERT INTO orders (id, user_id, status) VALUES (1, 2, 'new')",
    "INSERT INTO parted VALUES (1, 'v')",
    "UPDATE users SET name = 'x' WHERE id = 5",
    "UPDATE parent SET v = 'x' WHERE id = 5",
    "UPDATE with_trigger SET v = 'x' WHERE id = 5",
    "DELETE FROM parted WHERE id = 5",
    "DELETE FROM family WHERE id = 5",
    "DELETE FROM orders WHERE id = 5",
    "DELETE FROM secured WHERE id = 5",
    "COPY unpublished FROM STDIN",
    "TRUNCATE users",
    "BEGIN",
)
# Some touch little, some by detours: a view over a view, a policy's table, a table that a name comes to mean.
_CHANGES = (
    "TRUNCATE no_identity",
    "VACUUM FULL keyed_by_text",
    "CREATE INDEX ON orders (status)",
    "CREATE TABLE other.orders (LIKE orders)",
    "DROP TABLE other.orders",
    "CREATE TABLE fresh (id int PRIMARY KEY)",
    "ALTER TABLE fresh RENAME TO items_of_others",
    "CREATE TABLE other.items (id int PRIMARY KEY)",
    "ALTER TABLE users ADD COLUMN more int",
    "CREATE OR REPLACE VIEW active_users AS SELECT id, name FROM users WHERE NOT active",
    "ALTER VIEW active_users RENAME TO lively_users",
    "ALTER TABLE orders RENAME COLUMN total TO worth",
    "CREATE POLICY of_orders ON secured USING (id IN (SELECT user_id FROM orders))",
    "ALTER TABLE orders RENAME TO purchases",
    "ALTER TABLE purchases RENAME TO orders",
    "ALTER TABLE parted_low ADD CHECK (id < 1000)",
    "CREATE INDEX part_index ON parted_low (twice(id))",
    "ALTER PUBLICATION tidegate_test DROP TABLE parted_low",
    "ALTER PUBLICATION tidegate_test ADD TABLE parted_low",
    "CREATE TRIGGER t AFTER INSERT ON child FOR EACH ROW EXECUTE FUNCTION touched()",
    "ALTER PUBLICATION tidegate_test DROP TABLE child",
    "CREATE RULE r AS ON DELETE TO family_grandchild DO ALSO NOTHING",
    "ALTER TABLE family_child NO INHERIT other_family",
    "ALTER TABLE items DROP CONSTRAINT items_order_id_fkey",
    "ALTER TABLE secured DISABLE ROW LEVEL SECURITY",
    "REFRESH MATERIALIZED VIEW user_count",
    "ALTER TABLE shop.users RENAME COLUMN nick TO called",
    'ALTER TABLE "Odd Schema"."Mixed ""Case""" ADD COLUMN more int',
    "DROP VIEW spenders",
    "DROP TABLE unpublished",
    "ALTER TYPE mood ADD VALUE 'great'",
    "CREATE FUNCTION upper(int) RETURNS text LANGUAGE sql AS $$ SELECT 'shadowed' $$",
)


def test_what_is_not_analysed_again_is_what_it_would_be(newest_postgres: PostgresServer, newest_database: str) -> None:
    make_schema(newest_postgres, newest_database)
    statements = [*by_hand(), *_MORE]
    templates, kept_by_change = Templates(), dict[str, int]()
    templates.use(read_catalog(newest_postgres, newest_database))
    before = _analysed(templates, statements)
    for change in _CHANGES:
        newest_postgres.execute(change, database=newest_database)
        catalog = read_catalog(newest_postgres, newest_database)
        templates.use(catalog)
        after = _analysed(templates, statements)
        for (text, name_space), found in after.items():
            assert found.analysis == analyse(lex(text), catalog, name_space), (change, text)
        kept_by_change[change] = sum(after[key].analysis is before[key].analysis for key in after)
        before = after
    all_of_them = len(before)
    assert kept_by_change["TRUNCATE no_identity"] > 0.9 * all_of_them
    assert kept_by_change["CREATE INDEX ON orders (status)"] > 0.9 * all_of_them
    assert 0 < kept_by_change["ALTER TABLE users ADD COLUMN more int"] < 0.6 * all_of_them
    assert not kept_by_change["ALTER TYPE mood ADD VALUE 'great'"]


def _analysed(templates: Templates, statements: list[str]) -> dict[tuple[str, NameSpace], Template]:
    found = {(text, space): templates.find(text.encode(), space) for text in statements for space in _NAME_SPACES}
    return {key: template for key, template in found.items() if template is not None}
