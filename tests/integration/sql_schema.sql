-- A schema that holds one of everything the verdicts have to tell apart.
CREATE SCHEMA shop;
CREATE SCHEMA other;
CREATE SCHEMA "Odd Schema";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);

CREATE TABLE users (
    id int PRIMARY KEY, name text NOT NULL, email varchar(100), age int, active bool DEFAULT true,
    created timestamptz NOT NULL DEFAULT '2024-01-01 00:00:00+00', birthday date, balance numeric(12, 2) DEFAULT 0,
    settings jsonb, labels text[], feeling mood
);
CREATE TABLE orders (
    id bigint PRIMARY KEY, user_id int NOT NULL REFERENCES users, status text NOT NULL, total numeric(12, 2),
    placed timestamp NOT NULL DEFAULT '2024-01-01', note text
);
CREATE TABLE items (
    order_id bigint REFERENCES orders ON DELETE CASCADE, line int, sku text NOT NULL, quantity int NOT NULL,
    price numeric(10, 2), PRIMARY KEY (order_id, line)
);
CREATE TABLE shop.users (id uuid PRIMARY KEY, nick text);
CREATE TABLE other.users (id int PRIMARY KEY, remark text);
CREATE TABLE other.only_there (code text PRIMARY KEY, users int);
CREATE TABLE "Odd Schema"."Mixed ""Case""" ("Id" int PRIMARY KEY, "select" text);
CREATE TABLE keyed_by_text (code text PRIMARY KEY, v int);
CREATE TABLE keyed_by_varchar (code varchar(10) PRIMARY KEY, v int);
CREATE TABLE keyed_by_uuid (id uuid PRIMARY KEY, v int);
CREATE TABLE keyed_by_char (code char(4) PRIMARY KEY, v int);
CREATE TABLE keyed_by_enum (code mood PRIMARY KEY, v int);
CREATE TABLE other_identity (id int PRIMARY KEY, code text NOT NULL UNIQUE);
ALTER TABLE other_identity REPLICA IDENTITY USING INDEX other_identity_code_key;
CREATE TABLE full_identity (id int PRIMARY KEY, v text);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
CREATE TABLE no_identity (v text);
CREATE TABLE nothing_identity (id int PRIMARY KEY);
ALTER TABLE nothing_identity REPLICA IDENTITY NOTHING;
CREATE TABLE unpublished (id int PRIMARY KEY, v text);
CREATE TABLE secured (id int PRIMARY KEY, owner text);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON secured USING (owner = CURRENT_USER OR id = current_setting('app.id', true)::int);
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (extra int) INHERITS (parent);
CREATE TABLE family (id int PRIMARY KEY, v text);
CREATE TABLE other_family (id int PRIMARY KEY);
CREATE TABLE family_child (PRIMARY KEY (id)) INHERITS (family, other_family);
CREATE TABLE family_grandchild (more text, PRIMARY KEY (id)) INHERITS (family_child);
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, v text);
CREATE TABLE with_domain (id int PRIMARY KEY, v positive, w text);
CREATE TABLE with_timetz (id int PRIMARY KEY, at timetz, w text);
CREATE TABLE with_reg (id int PRIMARY KEY, t regclass, w text);
CREATE TABLE with_trigger (id int PRIMARY KEY, v text);
CREATE TABLE with_rule (id int PRIMARY KEY, v text);
CREATE RULE silent AS ON DELETE TO with_rule DO INSTEAD NOTHING;
CREATE VIEW active_users AS SELECT id, name FROM users WHERE active;
CREATE VIEW spenders (id, spent) AS
    SELECT u.id, sum(o.total) FROM active_users u LEFT JOIN orders o ON o.user_id = u.id AND o.status <> 'void'
    GROUP BY u.id HAVING count(*) > 0;
CREATE VIEW recent AS SELECT id FROM orders WHERE placed > now() - interval '1 day';
CREATE VIEW view_of_secured AS SELECT id FROM secured;
CREATE VIEW "Odd Schema"."A View" AS
    WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3)
    SELECT t.n, m."select", EXISTS (SELECT FROM shop.users s WHERE s.nick LIKE 'a%') AS "Has"
    FROM t LEFT JOIN "Odd Schema"."Mixed ""Case""" m ON m."Id" = t.n;
CREATE VIEW one AS SELECT 1 AS one;
CREATE VIEW of_catalog AS SELECT relname FROM pg_class;
CREATE VIEW of_me AS SELECT id FROM users WHERE name = CURRENT_USER;
CREATE MATERIALIZED VIEW user_count AS SELECT count(*) AS n FROM users;
CREATE SEQUENCE counter;

CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'shadowed'::text $$;
CREATE FUNCTION row_fact(users) RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'fact'::text $$;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON with_trigger FOR EACH ROW EXECUTE FUNCTION touched();
CREATE TABLE with_default (id int PRIMARY KEY, v int DEFAULT twice(2));
CREATE FUNCTION near(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 3';
CREATE OPERATOR <~> (LEFTARG = int, RIGHTARG = int, FUNCTION = near);

INSERT INTO users (id, name, email, age, active, birthday, balance, settings, labels, feeling)
SELECT n, 'user ' || n, 'U' || n || '@example.com', n % 60, n % 3 > 0, date '1980-01-01' + n, n * 1.5,
       jsonb_build_object('theme', 'dark', 'n', n), ARRAY['a', 'b' || n], 'ok' FROM generate_series(1, 40) n;
INSERT INTO orders SELECT n, 1 + n % 40, (ARRAY['new', 'paid', 'sent'])[1 + n % 3], n * 10, timestamp '2024-01-01' + n * interval '1 day',
       NULL FROM generate_series(1, 80) n;
INSERT INTO items SELECT 1 + n % 80, n, 'sku' || n % 7, n % 5 + 1, n FROM generate_series(1, 160) n;
INSERT INTO other.users SELECT n, 'r' || n FROM generate_series(1, 5) n;
INSERT INTO "Odd Schema"."Mixed ""Case""" VALUES (1, 'x');
INSERT INTO keyed_by_text VALUES ('a', 1), ('A', 2), ('it''s', 3);
INSERT INTO keyed_by_varchar VALUES ('a', 1);
INSERT INTO full_identity VALUES (1, 'x');
