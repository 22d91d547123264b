-- why: what a role may read is what it is answered, also where others defined it
-- since: 14
-- setup
CREATE SCHEMA s1;
CREATE SCHEMA s2;
GRANT USAGE ON SCHEMA s1, s2 TO reader;
CREATE TABLE s1.t1 (id int PRIMARY KEY, v text, n int);
GRANT SELECT ON s1.t1 TO reader;
INSERT INTO s1.t1 VALUES (1, 'first', 1), (2, 'first', 2);
-- 1
UPDATE s1.t1 SET v = 'x' WHERE id = 1;
-- 1
SELECT 1;
-- 1
REVOKE SELECT ON s1.t1 FROM reader;
-- 1
GRANT SELECT ON s1.t1 TO reader;
-- 1
ALTER TABLE s1.t1 ENABLE ROW LEVEL SECURITY;
