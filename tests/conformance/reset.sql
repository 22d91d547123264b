-- Takes out of the regression database whatever a run of the tests has left there and in the server, so that the next
-- run finds what the first one found. Tidegate's own schema, publication and slot stay: the proxy goes on.
DO $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('DROP EVENT TRIGGER %I', evtname) FROM pg_event_trigger WHERE evtname !~ '^(tidegate|conformance)'
        UNION ALL
        SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication WHERE pubname !~ '^tidegate'
        UNION ALL
        SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE);'
                      'DROP SUBSCRIPTION %1$I', subname)
        FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL
        SELECT format('DROP FOREIGN DATA WRAPPER %I CASCADE', fdwname) FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT format('DROP EXTENSION %I CASCADE', extname) FROM pg_extension WHERE extname <> 'plpgsql'
        UNION ALL
        SELECT format('DROP SCHEMA %I CASCADE', nspname)
        FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|tidegate$|conformance$)'
        UNION ALL
        SELECT format('DROP LANGUAGE %I CASCADE', lanname) FROM pg_language WHERE oid >= 16384
        UNION ALL
        SELECT format('DROP ACCESS METHOD %I CASCADE', amname) FROM pg_am WHERE oid >= 16384
        UNION ALL
        SELECT format('DROP CAST (%s AS %s)', castsource::regtype, casttarget::regtype)
        FROM pg_cast WHERE oid >= 16384 AND castsource < 16384 AND casttarget < 16384
        UNION ALL
        SELECT format('SELECT pg_catalog.lo_unlink(%s)', oid) FROM pg_largeobject_metadata
        UNION ALL
        SELECT format('DROP OWNED BY %1$I; DROP ROLE %1$I', rolname) FROM pg_roles WHERE rolname ~ '^regress'
    LOOP
        EXECUTE command;
    END LOOP;
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
COMMENT ON SCHEMA public IS 'standard public schema';
GRANT USAGE ON SCHEMA public TO PUBLIC;
