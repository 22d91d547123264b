-- why: two tables change names, columns change names, and a table takes the name of one that went: each is another answer
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
CREATE TABLE s1.t2 (id int PRIMARY KEY, v text, n int);
INSERT INTO s1.t1 VALUES (1, 'first', 1), (2, 'first', 2);
INSERT INTO s1.t2 VALUES (1, 'second', 3), (2, 'second', 4);
-- 1
BEGIN;
-- 1
ALTER TABLE s1.t1 RENAME TO swapped;
-- 1
ALTER TABLE s1.t2 RENAME TO t1;
-- 1
ALTER TABLE s1.swapped RENAME TO t2;
-- 1
COMMIT;
-- 2
UPDATE s1.t1 SET v = 'second, once more' WHERE id = 1;
-- 1
BEGIN;
-- 1
ALTER TABLE s1.t1 RENAME COLUMN v TO x;
-- 1
UPDATE s1.t1 SET x = 'in between';
-- 1
ALTER TABLE s1.t1 ADD COLUMN v text DEFAULT 'new';
-- 1
UPDATE s1.t1 SET v = 'newer', x = 'older' WHERE id = 2;
-- 1
COMMIT;
-- 0
UPDATE s1.t1 SET v = 'newest' WHERE id = 2;
-- 3 settled
ALTER TABLE s1.t2 SET SCHEMA s2;
-- 3
CREATE TABLE s1.t2 (id int PRIMARY KEY, v text, n int);
-- 0
INSERT INTO s1.t2 VALUES (1, 'another', 1);
-- 0
UPDATE s2.t2 SET v = 'the old one' WHERE id = 1;
