-- why: Postgres 18 says that a part was rolled back of which it had sent nothing; the CDC service began again for ever
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
INSERT INTO s1.t1 SELECT i, 'row ' || i, i FROM generate_series(1, 9) i;
-- 2
DO $$ BEGIN BEGIN INSERT INTO s1.t1 SELECT i, repeat('undone ', 60), i FROM generate_series(1000, 1600) i; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN RAISE; END; END $$;
-- 2
BEGIN;
-- 2
SAVEPOINT s1;
-- 2
INSERT INTO s1.t1 SELECT i, repeat('undone ', 60), i FROM generate_series(2000, 2600) i;
-- 2
ROLLBACK;
-- 1
UPDATE s1.t1 SET n = 3 WHERE id = 3;
