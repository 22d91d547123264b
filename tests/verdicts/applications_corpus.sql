-- What applications ask beyond the plain reads of their mapper, on the tables of orm_schema.sql, one a line and by hand:
-- reports by time, search in text and in JSON, values of arrays, rows as JSON, ranks.
-- Reports by time
SELECT ("placed" AT TIME ZONE 'UTC')::date AS "day", COUNT("id") AS "n" FROM "shop_order" GROUP BY 1 ORDER BY 1
SELECT ("shop_order"."placed" AT TIME ZONE 'Europe/Zurich')::date AS "day", SUM("shop_order"."total") FROM "shop_order" GROUP BY ("shop_order"."placed" AT TIME ZONE 'Europe/Zurich')::date
SELECT ("shop_order"."placed" AT TIME ZONE 'UTC')::time AS "t" FROM "shop_order" WHERE "shop_order"."id" = 3
SELECT DATE_TRUNC('month', "shop_order"."placed" AT TIME ZONE 'UTC') AS "month", COUNT(*) FROM "shop_order" GROUP BY 1
SELECT DATE_TRUNC('day', "placed")::date AS d, SUM(total) FROM "shop_order" GROUP BY 1 ORDER BY 1 DESC LIMIT 30
SELECT (DATE_TRUNC('week', (placed::timestamptz) AT TIME ZONE 'America/New_York'))::date, COUNT(*) FROM shop_order GROUP BY 1
SELECT DATE_TRUNC('day', ("shop_order"."placed"::timestamptz - INTERVAL '0 hour') AT TIME ZONE 'Etc/UTC') + INTERVAL '0 hour' AS day, COUNT(*) FROM shop_order GROUP BY 1
SELECT DATE(placed) AS day, COUNT(*) AS n FROM shop_order GROUP BY DATE(placed) ORDER BY DATE(placed)
SELECT "shop_order".* FROM "shop_order" WHERE (DATE(placed) = '2024-05-01')
SELECT date(o.placed at time zone 'UTC') AS day, count(*) FROM shop_order o GROUP BY 1
SELECT MAX("shop_order"."placed")::date AS newest, MIN("shop_order"."placed")::date AS oldest FROM "shop_order"
SELECT (MAX(placed) - INTERVAL '30 days')::date FROM shop_order
SELECT COALESCE(shipped, placed)::date AS d, count(*) FROM shop_order GROUP BY 1
SELECT (placed + interval '1 day')::date FROM shop_order WHERE id = 4
SELECT (placed::date + 7)::timestamp FROM shop_order WHERE id = 4
SELECT id FROM shop_order WHERE placed::date BETWEEN '2024-05-01'::date AND ('2024-05-01'::date + INTERVAL '6 days')::date
SELECT EXTRACT(YEAR FROM placed AT TIME ZONE 'UTC')::int AS y, EXTRACT(MONTH FROM placed AT TIME ZONE 'UTC')::int AS m, SUM(total) FROM shop_order GROUP BY 1, 2
SELECT EXTRACT(EPOCH FROM (shipped - placed)) FROM shop_order WHERE id = 2
SELECT AGE(shipped, placed) FROM shop_order WHERE id = 2
SELECT to_char(placed, 'YYYY-MM') AS ym, sum(total) FROM shop_order GROUP BY to_char(placed, 'YYYY-MM') ORDER BY ym
SELECT to_char(date_trunc('month', placed), 'Mon YYYY') AS label, count(*) FROM shop_order GROUP BY date_trunc('month', placed) ORDER BY date_trunc('month', placed)
SELECT d.day::date, COUNT(o.id) FROM generate_series('2024-05-01'::date, '2024-05-07'::date, '1 day') AS d(day) LEFT JOIN shop_order o ON o.placed::date = d.day GROUP BY d.day ORDER BY d.day
SELECT g.day::date AS day, COALESCE(SUM(o.total), 0) AS total FROM generate_series('2024-05-01'::timestamptz, '2024-05-31'::timestamptz, INTERVAL '1 day') AS g(day) LEFT JOIN shop_order o ON o.placed >= g.day AND o.placed < g.day + INTERVAL '1 day' GROUP BY g.day
WITH days AS (SELECT generate_series('2024-05-01'::date, '2024-05-10'::date, '1 day'::interval)::date AS day) SELECT days.day, count(o.id) FROM days LEFT JOIN shop_order o ON (o.placed AT TIME ZONE 'UTC')::date = days.day GROUP BY 1 ORDER BY 1
SELECT date_bin('15 minutes', placed, TIMESTAMPTZ '2024-01-01') AS slot, count(*) FROM shop_order GROUP BY 1
SELECT customer_id FROM shop_order WHERE tstzrange('2024-05-01', '2024-06-01', '[)') @> placed
SELECT id FROM shop_order WHERE placed <@ tstzrange('2024-05-01 00:00+00', '2024-05-02 00:00+00')
SELECT r.id FROM shop_review r WHERE daterange('2024-01-01', '2024-01-05', '[]') @> r.written
SELECT id, tstzrange(placed, shipped) FROM shop_order WHERE tstzrange(placed, shipped) && tstzrange('2024-05-01', '2024-05-03')
SELECT make_date(EXTRACT(YEAR FROM written)::int, 1, 1) AS y, avg(stars) FROM shop_review GROUP BY 1
SELECT (written || ' 12:00')::timestamp FROM shop_review WHERE id = 1
SELECT cast(placed as date) d, cast(placed as time) t FROM shop_order WHERE customer_id = 2
SELECT to_timestamp(EXTRACT(EPOCH FROM placed))::timestamptz AT TIME ZONE 'UTC' FROM shop_order WHERE id = 1
SELECT (CASE WHEN shipped IS NULL THEN placed ELSE shipped END)::date, count(*) FROM shop_order GROUP BY 1
SELECT x.day::date, x.n FROM (SELECT DATE_TRUNC('day', placed) AS day, COUNT(*) AS n FROM shop_order GROUP BY 1) x ORDER BY 1
SELECT (shipped::date - placed::date) AS days FROM shop_order WHERE shipped IS NOT NULL
-- Search in text
SELECT "shop_product"."id", "shop_product"."name" FROM "shop_product" WHERE to_tsvector(COALESCE("shop_product"."name", '')) @@ (plainto_tsquery('p1'))
SELECT "shop_product"."id" FROM "shop_product" WHERE to_tsvector('english'::regconfig, COALESCE("shop_product"."name", '')) @@ (plainto_tsquery('english'::regconfig, 'p1'))
SELECT "shop_review"."id", ts_rank((setweight(to_tsvector('english'::regconfig, COALESCE("shop_review"."body", '')), 'A')), plainto_tsquery('english'::regconfig, 'good')) AS "rank" FROM "shop_review" ORDER BY 2 DESC
SELECT "shop_review"."id" FROM "shop_review" WHERE to_tsvector('english'::regconfig, "shop_review"."body") @@ (websearch_to_tsquery('english'::regconfig, 'good OR bad'))
SELECT "shop_review"."id", ts_headline('english'::regconfig, "shop_review"."body", plainto_tsquery('english'::regconfig, 'good'), 'StartSel=''<b>'', StopSel=''</b>''') AS "headline" FROM "shop_review"
SELECT "shop_product".* FROM "shop_product" INNER JOIN (SELECT "shop_product"."id" AS pg_search_id, (ts_rank((to_tsvector('simple', coalesce("shop_product"."name"::text, ''))), (to_tsquery('simple', ''' ' || 'p1' || ' ''')), 0)) AS rank FROM "shop_product" WHERE ((to_tsvector('simple', coalesce("shop_product"."name"::text, ''))) @@ (to_tsquery('simple', ''' ' || 'p1' || ' ''')))) AS pg_search_1 ON "shop_product"."id" = pg_search_1.pg_search_id ORDER BY pg_search_1.rank DESC, "shop_product"."id" ASC
SELECT shop_review.id FROM shop_review WHERE shop_review.body @@ plainto_tsquery('good')
SELECT shop_review.id FROM shop_review WHERE to_tsvector('english', shop_review.body) @@ to_tsquery('english', 'good & !bad')
SELECT id, name FROM shop_product WHERE name ILIKE '%p1%' OR sku ~* '^s[0-9]+$' ORDER BY position('P1' in name)
SELECT id FROM shop_product WHERE name SIMILAR TO 'P(1|2)%'
SELECT id FROM shop_product WHERE lower(name) LIKE lower('P1') || '%' ESCAPE '\'
SELECT id FROM shop_product ORDER BY name COLLATE "C" LIMIT 3
SELECT id, regexp_replace(name, '[^0-9]', '', 'g') FROM shop_product
SELECT (regexp_match(sku, 'S([0-9]+)'))[1] AS n FROM shop_product WHERE id = 4
SELECT m[1] FROM shop_product, regexp_matches(sku, '[0-9]', 'g') AS m
SELECT DISTINCT w FROM shop_review, regexp_split_to_table(body, '\s+') AS w
SELECT word, count(*) FROM shop_review CROSS JOIN LATERAL regexp_split_to_table(lower(body), '\s+') AS word GROUP BY word
-- Rows as JSON
SELECT row_to_json(p) FROM (SELECT id, name, price FROM shop_product WHERE id = 1) p
SELECT row_to_json(shop_tag) FROM shop_tag WHERE id = 1
SELECT to_jsonb(t) FROM shop_tag t WHERE t.id = 2
SELECT to_jsonb(t.*) FROM shop_tag t WHERE t.id = 2
SELECT json_agg(t) FROM shop_tag t
SELECT coalesce(json_agg(t.* ORDER BY t.label), '[]'::json) FROM shop_tag t
SELECT coalesce(json_agg(row_to_json(x)), '[]') FROM (SELECT r.id, r.stars FROM shop_review r WHERE r.product_id = 2) x
SELECT p.id, (SELECT json_agg(r) FROM shop_review r WHERE r.product_id = p.id) AS reviews FROM shop_product p WHERE p.id = 1
SELECT p.id, COALESCE(r.items, '[]'::jsonb) FROM shop_product p LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('id', r.id, 'stars', r.stars) ORDER BY r.id) AS items FROM shop_review r WHERE r.product_id = p.id) r ON true WHERE p.id = 1
SELECT to_jsonb(p) - 'details' FROM shop_product p WHERE p.id = 3
SELECT to_jsonb(p) || jsonb_build_object('category', c.name) FROM shop_product p JOIN shop_category c ON c.id = p.category_id WHERE p.id = 3
SELECT json_object_agg(c.slug, c.name) FROM shop_category c
SELECT json_build_object('type', 'FeatureCollection', 'features', json_agg(json_build_object('id', t.id, 'properties', to_jsonb(t) - 'id'))) FROM shop_tag t
SELECT array_to_json(array_agg(row_to_json(t))) FROM (SELECT id, label FROM shop_tag ORDER BY id) t
SELECT count(r) FROM shop_product p LEFT JOIN shop_review r ON r.product_id = p.id WHERE p.id = 1
SELECT p.id FROM shop_product p LEFT JOIN shop_review r ON r.product_id = p.id WHERE r IS NULL
SELECT p.id, r FROM shop_product p LEFT JOIN shop_review r ON r.product_id = p.id WHERE p.id = 2
-- In JSON
SELECT id, details->>'color' FROM shop_product WHERE details @> '{"color": "red"}'
SELECT id FROM shop_product WHERE details ? 'color'
SELECT id FROM shop_product WHERE details ?| array['color', 'size']
SELECT id FROM shop_product WHERE details ?& array['color', 'dim']
SELECT id FROM shop_product WHERE (details#>>'{dim,w}')::int > 3
SELECT id FROM shop_product WHERE details @? '$.dim ? (@.w > 3)'
SELECT id FROM shop_product WHERE details @@ '$.dim.w > 3'
SELECT id, jsonb_path_query_array(details, '$.dim.w') FROM shop_product
SELECT p.id, d.key, d.value FROM shop_product p, jsonb_each(p.details) AS d WHERE p.id = 1
SELECT p.id, d.key, d.value FROM shop_product p CROSS JOIN LATERAL jsonb_each_text(p.details) AS d(key, value)
SELECT DISTINCT jsonb_object_keys(details) FROM shop_product
SELECT k, count(*) FROM shop_product, jsonb_object_keys(details) AS k GROUP BY k
SELECT (details->>'released')::date FROM shop_product WHERE id = 1
SELECT (details->'dim'->>'w')::numeric FROM shop_product WHERE id = 1
SELECT id FROM shop_product WHERE EXISTS (SELECT 1 FROM jsonb_array_elements(details->'tags') AS t WHERE t->>'name' = 'x')
SELECT p.id FROM shop_product p WHERE EXISTS (SELECT 1 FROM jsonb_array_elements_text(p.details->'sizes') s WHERE s = 'S')
SELECT x.id, p.name FROM jsonb_to_recordset('[{"id": 1}, {"id": 2}]'::jsonb) AS x(id bigint) JOIN shop_product p ON p.id = x.id
SELECT p.id, x.w FROM shop_product p, jsonb_to_record(p.details->'dim') AS x(w int) WHERE p.id = 2
SELECT p.id, jsonb_path_query(details, '$.dim.*') FROM shop_product p
-- In arrays
SELECT unnest(sizes) AS size, count(*) FROM shop_product GROUP BY 1
SELECT s, count(*) FROM shop_product, unnest(sizes) AS s GROUP BY s ORDER BY 2 DESC
SELECT p.id, s.size, s.n FROM shop_product p CROSS JOIN LATERAL unnest(p.sizes) WITH ORDINALITY AS s(size, n) WHERE p.id = 3
SELECT p.id, p.name FROM shop_product p JOIN unnest(ARRAY[3, 1, 2]) WITH ORDINALITY AS o(id, place) ON o.id = p.id ORDER BY o.place
SELECT p.id, p.name FROM unnest('{3,1,2}'::bigint[]) AS wanted(id) JOIN shop_product p USING (id)
SELECT id FROM shop_product WHERE id IN (SELECT unnest(ARRAY[1, 2, 3]))
SELECT id FROM shop_product WHERE id = ANY(SELECT unnest('{1,2,3}'::bigint[]))
SELECT id FROM shop_product WHERE sizes && ARRAY['S', 'M']::varchar[]
SELECT id FROM shop_product WHERE sizes @> ARRAY['S']::varchar(8)[] AND array_length(sizes, 1) = 1
SELECT id, array_to_string(sizes, ', ') FROM shop_product WHERE cardinality(sizes) > 0
SELECT p.id, t.label FROM shop_product p JOIN LATERAL (SELECT string_to_table('new,sale', ',') AS label) t ON true
SELECT p.id, (SELECT array_agg(x ORDER BY x) FROM unnest(p.sizes) AS x) FROM shop_product p
SELECT array_agg(DISTINCT status ORDER BY status), string_agg(status, ',' ORDER BY placed DESC) FROM shop_order
SELECT p.id, g.i, p.sizes[g.i] FROM shop_product p, generate_subscripts(p.sizes, 1) AS g(i)
SELECT n, (SELECT count(*) FROM shop_review WHERE stars = n) FROM generate_series(1, 5) AS n
SELECT s.n, count(r.id) FROM generate_series(1, 5) s(n) LEFT JOIN shop_review r ON r.stars = s.n GROUP BY s.n
SELECT width_bucket(price, 0, 100, 10) AS bucket, count(*) FROM shop_product GROUP BY 1
-- Aggregates, ranks and the like
SELECT count(*) FILTER (WHERE status = 'paid') AS paid, count(*) FILTER (WHERE status = 'sent') AS sent FROM shop_order
SELECT status, customer_id, sum(total) FROM shop_order GROUP BY GROUPING SETS ((status), (customer_id), ())
SELECT status, sum(total) FROM shop_order GROUP BY ROLLUP (status) ORDER BY GROUPING(status), status
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM shop_order
SELECT mode() WITHIN GROUP (ORDER BY status) FROM shop_order
SELECT id, rank() OVER (PARTITION BY customer_id ORDER BY placed DESC) FROM shop_order
SELECT id, lag(total, 1, 0) OVER w, lead(total) OVER w FROM shop_order WINDOW w AS (ORDER BY placed)
SELECT id, avg(total) OVER (ORDER BY placed RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW) FROM shop_order
SELECT id, sum(total) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM shop_order
SELECT id, first_value(placed) OVER (PARTITION BY customer_id ORDER BY placed)::date FROM shop_order
SELECT DISTINCT ON (customer_id) customer_id, id, placed FROM shop_order ORDER BY customer_id, placed DESC
SELECT greatest(max(placed), max(shipped))::date FROM shop_order
SELECT round(avg(stars)::numeric, 2) FROM shop_review WHERE product_id = 1
SELECT concat_ws(' ', u.first_name, u.last_name), u.email FROM auth_user u WHERE u.id = 1
SELECT id, text(price), int4(price) FROM shop_product WHERE id = 2
SELECT md5(email), left(email, 3), encode(sha256(email::bytea), 'hex') FROM auth_user WHERE id = 1
SELECT c.id, earth.d FROM shop_customer c, LATERAL (SELECT point(1, c.id::float8) <-> point(0, 0) AS d) earth
SELECT a.id FROM (shop_order a JOIN shop_line b ON b.order_id = a.id) WHERE b.product_id = 3
SELECT j.total, j.quantity FROM (shop_order a JOIN shop_line b ON b.order_id = a.id) AS j WHERE j.product_id = 3
SELECT o.tableoid, o.id FROM shop_order o WHERE o.id = 1
SELECT o.tableoid::regclass, o.id FROM shop_order o WHERE o.id = 1
WITH RECURSIVE tree AS (SELECT id, parent_id, name, ARRAY[id] AS path, 0 AS depth FROM shop_category WHERE parent_id IS NULL UNION ALL SELECT c.id, c.parent_id, c.name, t.path || c.id, t.depth + 1 FROM shop_category c JOIN tree t ON c.parent_id = t.id) SELECT * FROM tree ORDER BY path
WITH RECURSIVE tree(id, depth) AS (SELECT id, 0 FROM shop_category WHERE id = 1 UNION ALL SELECT c.id, t.depth + 1 FROM shop_category c JOIN tree t ON c.parent_id = t.id) SEARCH DEPTH FIRST BY id SET ord SELECT * FROM tree ORDER BY ord
TABLE shop_tag
SELECT pg_column_size(details) FROM shop_product WHERE id = 1
SELECT id FROM shop_product TABLESAMPLE BERNOULLI (50)
SELECT id FROM shop_product ORDER BY random() LIMIT 1
SELECT id FROM shop_order WHERE placed > now() - interval '1 day'
SELECT id FROM shop_order WHERE placed::date = CURRENT_DATE
SELECT gen_random_uuid(), id FROM shop_tag
SELECT id FROM shop_order WHERE id = 1 FOR UPDATE SKIP LOCKED
SELECT xmlelement(name tag, xmlattributes(t.id AS id), t.label) FROM shop_tag t
SELECT xmlagg(xmlelement(name tag, t.label) ORDER BY t.id) FROM shop_tag t
SELECT (SELECT count(*) FROM shop_order) AS orders, (SELECT count(*) FROM shop_product) AS products
SELECT o.id, o.total / nullif(sum(o.total) OVER (), 0) AS share FROM shop_order o
SELECT status, count(*) * 100.0 / sum(count(*)) OVER () FROM shop_order GROUP BY status
SELECT p.id FROM shop_product p WHERE (p.price, p.id) > (12, 3) ORDER BY p.price, p.id LIMIT 5
SELECT v.label, count(o.id) FROM (VALUES ('new'), ('paid'), ('sent')) AS v(label) LEFT JOIN shop_order o ON o.status = v.label GROUP BY v.label
SELECT p.id, overlay(p.name placing 'x' from 1 for 1), trim(both ' ' from p.name) FROM shop_product p
SELECT inet '10.0.0.1' <<= inet '10.0.0.0/8' AS inside, id FROM shop_tag
