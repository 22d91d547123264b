-- why: a part of a transaction is sent, and undone before it commits: nothing of it is told
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
INSERT INTO s1.t1 SELECT i, 'row ' || i, i FROM generate_series(1, 9) i;
-- 1
BEGIN;
-- 1
UPDATE s1.t1 SET n = n + 1 WHERE id = 1;
-- 1
SAVEPOINT undone;
-- 1
INSERT INTO s1.t1 SELECT i, repeat('undone ', 60), i FROM generate_series(100, 400) i;
-- 1
DELETE FROM s1.t1 WHERE id = 2;
-- 1
ROLLBACK TO SAVEPOINT undone;
-- 0
UPDATE s1.t1 SET n = n + 1 WHERE id = 3;
-- 1
INSERT INTO s1.t1 SELECT i, repeat('kept ', 60), i FROM generate_series(500, 800) i;
-- 1
PREPARE TRANSACTION 'later';
-- 0
UPDATE s1.t1 SET id = 50 WHERE id = 5;
-- 2
COMMIT PREPARED 'later';
