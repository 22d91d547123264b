-- why: somebody narrows the publication and widens it again while others write: what was missed meanwhile is not served
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
CREATE TABLE s1.t2 (id int PRIMARY KEY, v text, n int);
INSERT INTO s1.t1 SELECT i, 'row ' || i, i FROM generate_series(1, 5) i;
INSERT INTO s1.t2 SELECT i, 'row ' || i, i FROM generate_series(1, 5) i;
-- 2
BEGIN;
-- 2
UPDATE s1.t1 SET v = 'open all the time' WHERE id = 1;
-- 1
ALTER PUBLICATION tidegate_default DROP TABLE s1.t1;
-- 1
UPDATE s1.t1 SET v = 'not sent' WHERE id = 2;
-- 1
ALTER PUBLICATION tidegate_default ADD TABLE s1.t1;
-- 1
UPDATE s1.t1 SET v = 'sent' WHERE id = 3;
-- 2
COMMIT;
-- 1
ALTER PUBLICATION tidegate_default SET (publish = 'insert');
-- 1
UPDATE s1.t2 SET v = 'not sent either' WHERE id = 1;
-- 1 settled
ALTER PUBLICATION tidegate_default SET (publish = 'insert, update, delete, truncate');
-- 0
UPDATE s1.t2 SET v = 'sent again' WHERE id = 2;
-- 0
DELETE FROM s1.t1 WHERE id = 4;
