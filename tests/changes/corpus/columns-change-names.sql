-- why: rows are told by the names that their columns have when they change
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, w text, n int);
INSERT INTO s1.t1 SELECT i, 'row ' || i, 'other ' || i, i FROM generate_series(1, 5) i;
-- 1
UPDATE s1.t1 SET v = 'by its first name' WHERE id = 1;
-- 1
ALTER TABLE s1.t1 RENAME COLUMN v TO x;
-- 2
UPDATE s1.t1 SET x = 'by its second name' WHERE id = 1;
-- 1
BEGIN;
-- 1
ALTER TABLE s1.t1 RENAME COLUMN x TO y;
-- 1
ALTER TABLE s1.t1 RENAME COLUMN w TO x;
-- 1
ALTER TABLE s1.t1 RENAME COLUMN y TO w;
-- 1
COMMIT;
-- 2
UPDATE s1.t1 SET x = 'what was w' WHERE id = 2;
-- 0
UPDATE s1.t1 SET w = 'what was v' WHERE id = 2;
