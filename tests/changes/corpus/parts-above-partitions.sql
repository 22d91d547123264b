-- why: what one transaction does to several partitions has parts above them that count on; each began at 0 and was the last
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
CREATE TABLE s1.t1 (id int, part int, v text, n int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE s1.t2 PARTITION OF s1.t1 FOR VALUES IN (1);
CREATE TABLE s1.t3 PARTITION OF s1.t1 FOR VALUES IN (2);
INSERT INTO s1.t1 VALUES (1, 1, 'a', 1), (2, 2, 'b', 2);
-- 1
UPDATE s1.t1 SET v = 'c';
-- 1
UPDATE s1.t1 SET part = 3 - part;
-- 1
INSERT INTO s1.t1 SELECT i, 1 + i % 2, 'many', i FROM generate_series(100, 3000) i;
