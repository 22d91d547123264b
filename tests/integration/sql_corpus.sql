SELECT * FROM users
SELECT users.* FROM users
SELECT name AS n FROM public.users AS u WHERE u.id = 3
SELECT count(*), count(DISTINCT age), max(age), min(name), avg(balance), sum(id) FROM users
SELECT upper(name), length(email), coalesce(email, 'none'), nullif(age, 3), greatest(age, 1), least(age, 2) FROM users
SELECT name || ' <' || email || '>' FROM users ORDER BY 1 DESC NULLS LAST LIMIT 5 OFFSET 2
SELECT DISTINCT active FROM users ORDER BY active
SELECT DISTINCT ON (status) status, total FROM orders ORDER BY status, total DESC
SELECT u.name, o.total FROM users u JOIN orders o ON o.user_id = u.id
SELECT u.name, o.total FROM users u LEFT JOIN orders o ON o.user_id = u.id AND o.status = 'new' WHERE u.age > 10
SELECT u.name FROM users u RIGHT JOIN orders o ON o.user_id = u.id FULL JOIN items i ON i.order_id = o.id
SELECT u.name FROM users u CROSS JOIN orders o WHERE o.id < 3
SELECT u.name FROM users u, orders o, items i WHERE u.id = o.user_id AND i.order_id = o.id
SELECT id FROM users NATURAL JOIN orders
SELECT id FROM users JOIN orders USING (id)
SELECT 1 FROM users u JOIN (orders o JOIN items i ON i.order_id = o.id) ON o.user_id = u.id
SELECT * FROM (SELECT id, name FROM users WHERE active) AS a
SELECT a.n FROM (SELECT name AS n FROM users) a JOIN (SELECT note FROM orders) b ON true
SELECT x.id FROM ((SELECT id FROM users) UNION (SELECT id FROM orders)) x
SELECT u.name, x.total FROM users u LEFT JOIN LATERAL (SELECT total FROM orders o WHERE o.user_id = u.id LIMIT 1) x ON true
SELECT u.name, x.c FROM users u, LATERAL (SELECT count(*) AS c FROM orders o WHERE o.user_id = u.id) x
SELECT name FROM users WHERE id IN (SELECT user_id FROM orders WHERE status = 'paid')
SELECT name FROM users WHERE id NOT IN (SELECT user_id FROM orders WHERE user_id IS NOT NULL)
SELECT name FROM users u WHERE EXISTS (SELECT 1 FROM orders o WHERE o.user_id = u.id)
SELECT name FROM users u WHERE NOT EXISTS (SELECT FROM orders o WHERE o.user_id = u.id)
SELECT name, (SELECT count(*) FROM orders o WHERE o.user_id = u.id) FROM users u
SELECT EXISTS (SELECT 1 FROM users WHERE id = 1)
SELECT (SELECT max(id) FROM users) + (SELECT max(id) FROM orders)
SELECT ARRAY(SELECT name FROM users ORDER BY id LIMIT 2) FROM orders
SELECT name FROM users WHERE age > ALL (SELECT line FROM items) OR age = ANY (SELECT quantity FROM items)
SELECT name FROM users WHERE age > (SELECT avg(age) FROM users)
SELECT name FROM users WHERE (id, age) IN ((1, 1), (2, 2))
SELECT name FROM users WHERE (id, age) = (SELECT user_id, 5 FROM orders LIMIT 1)
WITH a AS (SELECT * FROM users) SELECT * FROM a
WITH a AS (SELECT * FROM users), b AS (SELECT * FROM a JOIN orders ON orders.user_id = a.id) SELECT count(*) FROM b
WITH a AS MATERIALIZED (SELECT * FROM users) SELECT a.id FROM a WHERE id > 3
WITH a AS NOT MATERIALIZED (SELECT * FROM users) SELECT x.id FROM a x JOIN a y ON x.id = y.age
WITH users AS (SELECT * FROM orders) SELECT * FROM users
WITH users AS (SELECT * FROM users) SELECT * FROM users
WITH users AS (SELECT * FROM users) SELECT * FROM public.users
WITH a(x, y) AS (SELECT id, name FROM users) SELECT a.x, y FROM a
WITH a AS (SELECT id FROM users) SELECT id FROM a UNION ALL SELECT id FROM a
WITH a AS (SELECT id FROM users) (SELECT id FROM a) UNION ALL (SELECT id FROM a ORDER BY 1 LIMIT 1)
(WITH orders AS (SELECT id FROM users) SELECT id FROM orders) UNION ALL SELECT id FROM orders
SELECT id FROM users WHERE id IN (WITH orders AS (SELECT 1 AS id) SELECT id FROM orders)
SELECT * FROM (WITH orders AS (SELECT id FROM users) SELECT * FROM orders) x JOIN orders ON true
WITH a AS (WITH orders AS (SELECT id FROM users) SELECT * FROM orders) SELECT a.id FROM a JOIN orders o ON o.id = a.id
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n, name FROM t JOIN users ON id = n
WITH RECURSIVE users AS (SELECT 1 AS id UNION SELECT id + 1 FROM users WHERE id < 5) SELECT users.id FROM users, orders
WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT id FROM users) SELECT * FROM a
SELECT id FROM users UNION SELECT user_id FROM orders
SELECT id FROM users UNION ALL SELECT user_id FROM orders INTERSECT SELECT order_id FROM items
(SELECT id FROM users ORDER BY id LIMIT 1) UNION ALL (SELECT id FROM orders ORDER BY id LIMIT 1) ORDER BY 1
SELECT id FROM users EXCEPT ALL SELECT user_id FROM orders
(SELECT id FROM users EXCEPT SELECT user_id FROM orders) LIMIT 3
(((SELECT id FROM users)))
SELECT status, count(*) FROM orders GROUP BY status HAVING count(*) > 1 ORDER BY count(*) DESC
SELECT status, user_id, sum(total) FROM orders GROUP BY ROLLUP (status, user_id)
SELECT status, user_id, sum(total) FROM orders GROUP BY CUBE (status, user_id)
SELECT status, user_id, sum(total), grouping(status) FROM orders GROUP BY GROUPING SETS ((status), (user_id), ())
SELECT status, string_agg(id::text, ',' ORDER BY id), array_agg(id ORDER BY id) FILTER (WHERE id > 3) FROM orders GROUP BY 1
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total), mode() WITHIN GROUP (ORDER BY status) FROM orders
SELECT id, row_number() OVER (PARTITION BY status ORDER BY id), lag(id, 1) OVER w FROM orders WINDOW w AS (ORDER BY id)
SELECT id, sum(total) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM orders
SELECT id, first_value(id) OVER (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM orders
SELECT json_agg(name ORDER BY id), jsonb_agg(age ORDER BY id), jsonb_object_agg(id, name) FROM users
SELECT to_char(created, 'YYYY-MM-DD'), to_char(balance, '999.99'), date_trunc('month', created) FROM users
SELECT extract(year FROM created), date_part('day', birthday), extract(epoch FROM created) FROM users
SELECT created AT TIME ZONE 'UTC', created::date, created::timestamp, placed::timestamptz FROM users, orders
SELECT created + interval '1 day', birthday + 3, created - interval '1' month FROM users
SELECT * FROM users WHERE created > '2023-01-01' AND birthday < date '2020-01-01' AND created < timestamptz '2030-01-01'
SELECT * FROM orders WHERE placed BETWEEN timestamp '2024-01-01' AND '2024-02-01'::timestamp
SELECT substring(name FROM 1 FOR 2), substring(name, 2), position('s' IN name), trim(BOTH 'u' FROM name), trim(name) FROM users
SELECT substring(name FROM 's.*'), split_part(name, ' ', 2), replace(name, 'u', 'U'), repeat('x', 2) FROM users
SELECT regexp_replace(name, 's.*', ''), name ~ '^u', name !~ 'x', name ~* 'U', name SIMILAR TO 'u%', md5(name) FROM users
SELECT name LIKE 'u%', name NOT LIKE 'x', name ILIKE 'U%', name LIKE 'u#_' ESCAPE '#' FROM users
SELECT settings->'theme', settings->>'n', settings#>'{a,b}', settings#>>'{theme}', settings @> '{"n": 1}' FROM users
SELECT settings ? 'theme', settings ?| ARRAY['a'], settings || '{"x": 1}', jsonb_typeof(settings), settings - 'n' FROM users
SELECT labels[1], labels[1:2], array_length(labels, 1), labels || ARRAY['x'], labels && ARRAY['a'], labels @> ARRAY['a'] FROM users
SELECT 'a' = ANY (labels), array_to_string(labels, ','), cardinality(labels) FROM users
SELECT CASE WHEN age > 5 THEN 'old' ELSE 'young' END, CASE age WHEN 1 THEN 'one' END FROM users
SELECT age::text, cast(age AS varchar(2)), age::numeric(10, 2), '{1,2}'::int[], '5'::int, double precision '1.5' FROM users
SELECT -age, +age, age + 1 * 2 - 3 / 4 % 5, 2 ^ 3, ~ 1, 1 << 2, 1 # 2, 1 & 2, 1 | 2 FROM users
SELECT age IS NULL, active IS TRUE, active IS NOT FALSE, age IS DISTINCT FROM 3, age IS NOT DISTINCT FROM 3 FROM users
SELECT NOT active, active AND age > 1 OR false, age BETWEEN 1 AND 5, age NOT BETWEEN SYMMETRIC 5 AND 1 FROM users
SELECT feeling, feeling = 'ok', feeling < 'happy' FROM users WHERE feeling IN ('ok', 'sad') ORDER BY feeling
SELECT row(id, name), ARRAY[id, age], ARRAY[[1, 2], [3, 4]] FROM users
SELECT concat(name, age), concat_ws('-', name, email), format('%s', name), quote_literal(name) FROM users
SELECT round(balance, 1), floor(balance), ceil(balance), abs(age), mod(age, 3), power(2, 3), sqrt(4.0) FROM users
SELECT name FROM users ORDER BY name COLLATE "C" FETCH FIRST 3 ROWS ONLY
SELECT age FROM users ORDER BY age FETCH FIRST 3 ROWS WITH TIES
SELECT id FROM ONLY users
SELECT name AS "users", id AS "from" FROM users AS "select"
SELECT "Id", "select" FROM "Odd Schema"."Mixed ""Case""" WHERE "Id" = 1
SELECT nick FROM shop.users WHERE id = '7d444840-9dc0-11d1-b245-5ffdce74fad2'
SELECT a.remark, b.name FROM other.users a JOIN public.users b ON a.id = b.id
SELECT users.id FROM other.users, other.only_there WHERE only_there.users = users.id
SELECT code, v FROM keyed_by_text WHERE code = 'it''s'
SELECT v FROM keyed_by_varchar WHERE code = E'a'
SELECT v FROM keyed_by_uuid WHERE id = $$7d444840-9dc0-11d1-b245-5ffdce74fad2$$
SELECT v FROM keyed_by_char WHERE code = 'a'
SELECT v FROM keyed_by_enum WHERE code = 'ok'
SELECT code FROM other_identity WHERE id = 1
SELECT v FROM full_identity WHERE id = 1
SELECT w FROM with_domain WHERE id = 1
SELECT w FROM with_timetz
SELECT 'a'
'b', name FROM users
SELECT /* FROM orders */ name -- FROM orders
FROM users
SELECT ' FROM orders ', name AS " from orders " FROM users
SELECT t.name FROM users t(id, name) WHERE t.id = 1
SELECT v.x FROM (VALUES (1, 'a'), (2, 'b')) AS v(x, y) JOIN users ON users.id = v.x
SELECT count(*) FILTER (WHERE active), bool_and(active), every(age > 0), stddev(age), corr(age, id) FROM users
SELECT * FROM parted WHERE id = 5
SELECT p.v, u.name FROM parted p JOIN users u USING (id)
SELECT count(*) FROM parted_low
SELECT * FROM ONLY parted
SELECT * FROM family WHERE id = 5
SELECT * FROM family * WHERE id = 5
SELECT f.v, o.id FROM ONLY family f JOIN other_family o USING (id)
SELECT count(*) FROM family_child LEFT JOIN ONLY parent p USING (id)
SELECT v FROM ONLY public.parent AS p WHERE id = 5
