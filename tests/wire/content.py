"""What is in both databases: tables that are cached, tables that are not, and things that write behind one's back."""

ROLES = """
CREATE ROLE reader LOGIN;
CREATE ROLE writer LOGIN;
"""

OBJECTS = """
CREATE TABLE people (id int PRIMARY KEY, name text, age int, note text);
CREATE TABLE orders (
    id int PRIMARY KEY, person int REFERENCES people, total numeric(10, 2), placed timestamptz, span interval,
    paid bool, body bytea, weight float8, day date, tags text[], detail jsonb
);
CREATE TABLE scratch (id int PRIMARY KEY, n int CHECK (n < 1000), word text UNIQUE);
CREATE TABLE late (id int PRIMARY KEY, n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE heap (n int, word text);
CREATE TABLE guarded (id int PRIMARY KEY, owner text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user);
CREATE SCHEMA other;
CREATE TABLE other.people (id int PRIMARY KEY, name text, age int, note text);
CREATE VIEW adults AS SELECT id, name FROM people WHERE age >= 30;
CREATE SEQUENCE counter;
CREATE TABLE barrier (id int PRIMARY KEY, n int);
INSERT INTO barrier VALUES (1, 0);

CREATE TABLE audited (id int PRIMARY KEY, n int);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE people SET note = 'audited ' || NEW.n WHERE id = NEW.id; RETURN NEW; END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON audited FOR EACH ROW EXECUTE FUNCTION audit();
CREATE FUNCTION bump(person int) RETURNS int LANGUAGE sql AS
    'UPDATE people SET age = age + 1 WHERE id = $1 RETURNING age';
CREATE FUNCTION speak(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'heard %', what; RETURN what; END $$;
CREATE PROCEDURE settle_orders() LANGUAGE plpgsql AS $$
BEGIN UPDATE orders SET paid = true WHERE id = 1; COMMIT; UPDATE orders SET paid = false WHERE id = 2; END $$;
"""

# Grants and objects that streams may change. Run to bring them back.
CHANGEABLE = """
ALTER TABLE IF EXISTS other.parked RENAME TO people;
DROP TABLE IF EXISTS made, other.made CASCADE;
DROP TABLE IF EXISTS shifting;
DROP VIEW IF EXISTS made_view;
DROP FUNCTION IF EXISTS made_function(int);
CREATE TABLE shifting (id int PRIMARY KEY, n int);
REVOKE ALL ON ALL TABLES IN SCHEMA public, other FROM reader, writer;
GRANT USAGE ON SCHEMA other TO reader, writer;
GRANT SELECT ON people, guarded, other.people TO reader;
GRANT ALL ON people, orders, scratch, guarded TO writer;
"""

ROWS = """
DELETE FROM orders;
DELETE FROM people;
DELETE FROM scratch;
DELETE FROM late;
DELETE FROM heap;
DELETE FROM guarded;
DELETE FROM other.people;
DELETE FROM audited;
DELETE FROM shifting;
INSERT INTO people SELECT i, 'person ' || i, 20 + i % 5 * 5, CASE WHEN i % 3 = 0 THEN 'note ' || i END
    FROM generate_series(1, 12) i;
INSERT INTO orders SELECT
    i, i % 6 + 1, i * 1.25, '2026-01-01 12:00:00+00'::timestamptz + i * interval '5 hours',
    i * interval '1 day 2 hours', i % 2 = 0, decode(md5(i::text), 'hex'), i / 3.0, '2026-01-31'::date + i,
    ARRAY['a', 'b ' || i, NULL], jsonb_build_object('n', i) FROM generate_series(1, 8) i;
INSERT INTO orders (id) VALUES (9);
INSERT INTO scratch SELECT i, i, 'word ' || i FROM generate_series(1, 4) i;
INSERT INTO late SELECT i, i FROM generate_series(1, 3) i;
INSERT INTO heap SELECT i, 'heap ' || i FROM generate_series(1, 3) i;
INSERT INTO guarded VALUES (1, 'reader'), (2, 'writer'), (3, 'reader');
INSERT INTO other.people SELECT i, 'other ' || i, 60 + i, NULL FROM generate_series(1, 4) i;
INSERT INTO audited VALUES (11, 0);
UPDATE people SET note = NULL WHERE id = 11;
INSERT INTO shifting VALUES (1, 1), (2, 2);
SELECT setval('counter', 1, false);
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
"""

_CATALOG = """
SELECT 'relations', string_agg(concat_ws(' ', n.nspname, c.relname, c.relkind, c.relpersistence, c.relacl), E'\\n'
                               ORDER BY n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'other')
UNION ALL
SELECT 'columns', string_agg(concat_ws(' ', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod)), E'\\n'
                             ORDER BY n.nspname, c.relname, a.attnum)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('public', 'other') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'functions', string_agg(p.proname || ' ' || p.prosrc, E'\\n' ORDER BY p.proname)
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'sequence', (SELECT concat_ws(' ', last_value, is_called) FROM counter)
UNION ALL
SELECT 'large objects', (SELECT string_agg(oid || ' ' || lo_get(oid)::text, E'\\n' ORDER BY oid)
                         FROM pg_largeobject_metadata)
"""
_TABLES = ("people", "orders", "scratch", "late", "guarded", "other.people", "audited")

DIGEST = (
    _CATALOG
    + "".join(
        f"UNION ALL SELECT '{table}', (SELECT string_agg(t::text, E'\\n' ORDER BY t.id) FROM {table} t) "
        for table in _TABLES
    )
    + "UNION ALL SELECT 'heap', (SELECT string_agg(h::text, E'\\n' ORDER BY h::text) FROM heap h)"
)
"""The whole content, as rows of a name and a text. The rows of what streams make are in the list of relations only."""
