-- why: partitions are attached, detached in two steps and left half-way: the table above them is read as it is
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int, part int, v text, n int, PRIMARY KEY (id, part)) PARTITION BY RANGE (part);
CREATE TABLE s1.t2 PARTITION OF s1.t1 FOR VALUES FROM (0) TO (10);
CREATE TABLE s1.t3 PARTITION OF s1.t1 FOR VALUES FROM (10) TO (20);
CREATE TABLE s1.t4 (LIKE s1.t1 INCLUDING ALL);
INSERT INTO s1.t1 VALUES (1, 1, 'a', 1), (2, 11, 'b', 2);
INSERT INTO s1.t4 VALUES (3, 21, 'c', 3);
-- 1 settled
ALTER TABLE s1.t1 ATTACH PARTITION s1.t4 FOR VALUES FROM (20) TO (30);
-- 2
UPDATE s1.t4 SET v = 'by the part';
-- 2
UPDATE s1.t1 SET part = 5 WHERE id = 3;
-- 3
BEGIN ISOLATION LEVEL REPEATABLE READ;
-- 3
UPDATE s1.t1 SET n = 7 WHERE id = 1;
-- 1
ALTER TABLE s1.t1 DETACH PARTITION s1.t3 CONCURRENTLY;
-- 2
UPDATE s1.t3 SET v = 'half detached';
-- 3
COMMIT;
-- 1
ALTER TABLE s1.t1 DETACH PARTITION s1.t3 FINALIZE;
-- 2
UPDATE s1.t3 SET v = 'on its own';
-- 2
TRUNCATE s1.t2;
