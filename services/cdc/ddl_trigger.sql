-- The event triggers that tell of DDL: see ddl_trigger.py.
--
-- At DROP TABLE and the like the objects that are dropped say whether they were temporary; any other command is told at
-- its end.
DROP EVENT TRIGGER IF EXISTS tidegate_ddl;
DROP EVENT TRIGGER IF EXISTS tidegate_drop;
DROP FUNCTION IF EXISTS tidegate.note_ddl();
CREATE FUNCTION tidegate.note_ddl() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $note_ddl$
DECLARE
    lost record;
BEGIN
    IF tg_event = 'sql_drop' THEN
        IF tg_tag NOT IN ('DROP TABLE', 'DROP INDEX', 'DROP SEQUENCE', 'DROP VIEW') OR NOT EXISTS (
            SELECT FROM pg_event_trigger_dropped_objects() WHERE original AND NOT is_temporary
        ) THEN
            RETURN;
        END IF;
    ELSIF tg_tag IN ('DROP TABLE', 'DROP INDEX', 'DROP SEQUENCE', 'DROP VIEW') THEN
        RETURN;
    ELSIF NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp')
        AND (tg_tag LIKE 'CREATE %' OR EXISTS (SELECT FROM pg_event_trigger_ddl_commands()))
    THEN
        RETURN;  -- temporary, or it was there already
    END IF;
    IF tg_tag LIKE 'ALTER %' OR tg_tag LIKE 'DROP %' THEN
        FOR lost IN
            SELECT p.pubname, c.oid, c.oid::regclass AS relation
            FROM pg_publication p
            JOIN pg_publication_rel e ON e.prpubid = p.oid
            JOIN pg_class c ON c.oid = e.prrelid
            LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
            WHERE p.pubname LIKE 'tidegate\_%' AND c.relkind = 'r' AND (
                (c.relreplident <> 'f' AND i.indexrelid IS NULL)
                OR (current_setting('server_version_num')::int >= 180000 AND EXISTS (  -- from then on refused, too
                    SELECT FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                      AND a.attgenerated::text NOT IN ('', coalesce(to_jsonb(p) ->> 'pubgencols', ''))
                      AND (c.relreplident = 'f' OR a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
                ))
            )
        LOOP
            BEGIN
                EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %s', lost.pubname, lost.relation);
                UPDATE tidegate.followed SET let_go = true
                WHERE cache = substr(lost.pubname, length('tidegate_') + 1) AND relation = lost.oid;
            EXCEPTION WHEN OTHERS THEN
                RAISE LOG 'tidegate: % stays in the publication %: %', lost.relation, lost.pubname, SQLERRM;
            END;
        END LOOP;
    END IF;
    PERFORM pg_logical_emit_message(true, 'tidegate', 'ddl');
EXCEPTION WHEN OTHERS THEN
    RAISE LOG 'tidegate: DDL is not told at once: %', SQLERRM;
END
$note_ddl$;
CREATE EVENT TRIGGER tidegate_ddl ON ddl_command_end EXECUTE FUNCTION tidegate.note_ddl();
CREATE EVENT TRIGGER tidegate_drop ON sql_drop EXECUTE FUNCTION tidegate.note_ddl();
ALTER EVENT TRIGGER tidegate_ddl ENABLE ALWAYS;
ALTER EVENT TRIGGER tidegate_drop ENABLE ALWAYS;
