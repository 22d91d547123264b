-- why: an update evicts what shows the row as it was: by its key, by a value, in each replica identity
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
CREATE TABLE s1.t2 (id numeric PRIMARY KEY, v text, n int);
CREATE TABLE s1.t3 (id int NOT NULL, v text, n int);
ALTER TABLE s1.t3 REPLICA IDENTITY FULL;
INSERT INTO s1.t1 SELECT i, 'row ' || i % 3, i FROM generate_series(1, 6) i;
INSERT INTO s1.t2 SELECT i, 'row ' || i % 3, i FROM generate_series(1, 6) i;
INSERT INTO s1.t3 SELECT i, 'row ' || i % 3, i FROM generate_series(1, 6) i;
-- 1
UPDATE s1.t1 SET id = 50 WHERE id = 1;
-- 2
UPDATE s1.t1 SET v = 'no longer' WHERE id = 4;
-- 1
UPDATE s1.t2 SET id = id + 0.00 WHERE id = 1;
-- 0
UPDATE s1.t2 SET id = 51 WHERE id = 2;
-- 3
UPDATE s1.t3 SET v = 'no longer' WHERE id = 1;
-- 1
UPDATE s1.t3 SET id = 52 WHERE id = 2;
-- 1
DELETE FROM s1.t2 WHERE id = 1;
