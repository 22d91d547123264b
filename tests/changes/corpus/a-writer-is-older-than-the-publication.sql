-- why: a table joins the publication while a writer is open, whose earlier rows are never sent: it is not followed before that one has ended
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
CREATE TABLE s1.t2 (id int PRIMARY KEY, v text, n int);
INSERT INTO s1.t1 SELECT i, 'row ' || i, i FROM generate_series(1, 5) i;
-- 1
ALTER PUBLICATION tidegate_default DROP TABLE s1.t1;
-- 2
BEGIN;
-- 2
UPDATE s1.t1 SET v = 'before it joined' WHERE id = 1;
-- 1
ALTER PUBLICATION tidegate_default ADD TABLE s1.t1;
-- 1
INSERT INTO s1.t2 VALUES (1, 'time goes by', 1);
-- 1
CREATE TABLE s1.t3 (id int PRIMARY KEY, v text, n int);
-- 1
INSERT INTO s1.t2 VALUES (2, 'and by', 1);
-- 1
ALTER TABLE s1.t3 ADD COLUMN c1 int;
-- 1
INSERT INTO s1.t2 VALUES (3, 'and by', 1);
-- 1
ALTER TABLE s1.t3 DROP COLUMN c1;
-- 1
INSERT INTO s1.t2 VALUES (4, 'and by', 1);
-- 2
COMMIT;
