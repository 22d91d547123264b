"""The statements that read the catalogs: plain SQL for Postgres 14 to 18.

They run with pg_catalog alone on the search path, since operators cannot be qualified legibly; functions and
relations are qualified all the same. They need no privilege beyond what every role has. "User" objects have OIDs from
16384 on. (oid, xmin) names a version of a catalog row: DDL writes new row versions, while VACUUM and ANALYZE update
in place. Temporary relations are left out: sessions that have any are not cached, and their comings and goings would
change the stamp all the time.
"""

# Per-relation sources: catalog, its relation column, what tells two rows of the relation apart, further condition.
_RELATION_SOURCES: tuple[tuple[str, str, str, str], ...] = (
    ("pg_attribute", "attrelid", "x.attnum", "c.relkind IN ('r','p','v','m','f')"),
    ("pg_attrdef", "adrelid", "x.oid", ""),
    ("pg_index", "indrelid", "x.indexrelid", "(x.indisprimary OR x.indisreplident)"),
    ("pg_constraint", "conrelid", "x.oid", ""),
    ("pg_constraint", "confrelid", "x.oid", ""),
    ("pg_trigger", "tgrelid", "x.oid", ""),
    ("pg_rewrite", "ev_class", "x.oid", ""),
    ("pg_policy", "polrelid", "x.oid", ""),
    ("pg_inherits", "inhrelid", "x.inhparent", ""),
    ("pg_inherits", "inhparent", "x.inhrelid", ""),
    ("pg_publication_rel", "prrelid", "x.oid", ""),
)

# Sources of the global part: catalog, key, condition.
_GLOBAL_SOURCES: tuple[tuple[str, str, str], ...] = (
    ("pg_proc", "x.oid", "x.oid >= 16384"),
    ("pg_operator", "x.oid", "x.oid >= 16384"),
    ("pg_cast", "x.oid", "x.oid >= 16384"),
    ("pg_collation", "x.oid", "x.oid >= 16384"),
    (
        "pg_type",
        "x.oid",
        "x.oid >= 16384 AND (x.typtype IN ('d','e','r','m') OR (x.typtype = 'b' AND x.typcategory <> 'A'))",
    ),
    ("pg_enum", "x.oid", "true"),
    ("pg_publication", "x.oid", "x.pubname = {publication}"),
    ("pg_auth_members", "pg_catalog.hash_record(ROW(x.roleid, x.member, x.grantor))", "true"),
    ("pg_db_role_setting", "pg_catalog.hash_record(ROW(x.setdatabase, x.setrole))", "true"),
    # Of text search what came with Postgres may be changed as well.
    ("pg_ts_config", "x.oid", "true"),
    ("pg_ts_config_map", "pg_catalog.hash_record(ROW(x.mapcfg, x.maptokentype, x.mapseqno))", "true"),
    ("pg_ts_dict", "x.oid", "true"),
    ("pg_ts_parser", "x.oid", "x.oid >= 16384"),
    ("pg_ts_template", "x.oid", "x.oid >= 16384"),
)


def _version(number: int, key: str) -> str:
    """SQL of a hash of one catalog row's version: which source, which row, which transaction wrote it."""
    return (
        f"pg_catalog.hashint8extended(({key})::pg_catalog.int8 << 8 | {number}, "
        "x.xmin::pg_catalog.text::pg_catalog.int8)"
    )


def _relation_source(number: int, catalog: str, relation: str, key: str, condition: str) -> str:
    more = f" WHERE {condition}" if condition else ""
    version = _version(number, key)
    return f"SELECT c.oid, {version} FROM ours AS c JOIN pg_catalog.{catalog} x ON x.{relation} = c.oid{more}"


def _global_source(number: int, catalog: str, key: str, condition: str) -> str:
    version = _version(number, key)
    return f"SELECT {GLOBAL}::pg_catalog.oid, {version} FROM pg_catalog.{catalog} x WHERE {condition}"


GLOBAL, NAME_SPACES = 0, 1  # stand in the place of a relation's OID

_SCHEMAS = (
    f"SELECT {NAME_SPACES}::pg_catalog.oid, {_version(100, 'x.oid')} FROM pg_catalog.pg_namespace x "
    "WHERE x.nspname !~ '^pg_(toast_)?temp_' AND x.nspname <> 'pg_toast'"
)
_ROLES = (  # pg_authid, which has an xmin, may be read by superusers only
    f"SELECT {GLOBAL}::pg_catalog.oid, pg_catalog.hashtextextended(pg_catalog.concat_ws(':', x.oid, x.rolname, "
    "x.rolsuper, x.rolinherit, x.rolbypassrls, x.rolconfig), 0) FROM pg_catalog.pg_roles x"
)

# XOR does not depend on an order.
_PARTS = (
    "WITH ours AS MATERIALIZED (SELECT x.oid, x.relkind, x.xmin FROM pg_catalog.pg_class x "
    "WHERE x.oid >= 16384 AND x.relpersistence <> 't' AND x.relkind <> 't') "  # 16384 is FirstNormalObjectId
    "SELECT source.relation, "
    "pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.bit_xor(source.version)) AS part FROM ("
    + " UNION ALL ".join(
        [
            f"SELECT x.oid, {_version(101, 'x.oid')} FROM ours AS x",
            *(_relation_source(number, *source) for number, source in enumerate(_RELATION_SOURCES)),
            *(_global_source(50 + number, *source) for number, source in enumerate(_GLOBAL_SOURCES)),
            _SCHEMAS,
            _ROLES,
        ]
    )
    + ") AS source(relation, version) GROUP BY source.relation"
)
_STAMP = (
    "SELECT pg_catalog.md5(pg_catalog.string_agg("
    f"pg_catalog.concat_ws('=', p.relation, p.part), ',' ORDER BY p.relation)) "
    f"|| pg_catalog.date_part('epoch', pg_catalog.pg_conf_load_time()) FROM ({_PARTS}) AS p"
)


def parts_query(publication: str) -> str:
    """Return the statement that gives (relation, part). Without parameters, so that its plan is made once."""
    return _PARTS.replace("{publication}", _quoted(publication))


def stamp_query(publication: str) -> str:
    """Return the statement that gives one text for all parts."""
    return _STAMP.replace("{publication}", _quoted(publication))


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


VERSION = "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4"

# $1: the publication. A row filter, a column list (both from 15 on) or a publication that leaves out an operation
# hides changes. `prqual` and `prattrs` are read through to_jsonb, since version 14 has no such columns.
RELATIONS = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::pg_catalog.text AS kind,
       c.relpersistence::pg_catalog.text AS persistence, c.relrowsecurity AS row_security,
       CASE WHEN c.relkind IN ('r', 'p', 'f')
           THEN ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i
                      WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending ORDER BY i.inhseqno)
           ELSE '{}' END AS parents,
       c.relhassubclass AND EXISTS (
           SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class t ON t.oid = i.inhrelid
           WHERE i.inhparent = c.oid AND t.relpersistence = 't') AS temporary_children,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS user_triggers,
       EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid) AS rules,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = c.oid
               AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))) AS cascades,
       c.oid = ANY (code.relations) AS user_code,
       c.relreplident::pg_catalog.text AS identity,
       (SELECT pr.oid FROM pg_catalog.pg_publication_rel pr JOIN pg_catalog.pg_publication p ON p.oid = pr.prpubid
        WHERE pr.prrelid = c.oid AND p.pubname = $1
          AND p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
          AND pg_catalog.to_jsonb(pr) ->> 'prqual' IS NULL
          AND pg_catalog.to_jsonb(pr) ->> 'prattrs' IS NULL) AS publication_entry
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN (
    SELECT COALESCE(pg_catalog.array_agg(DISTINCT COALESCE(d.adrelid, k.conrelid, i.indrelid)), '{}') AS relations
    FROM pg_catalog.pg_depend u
    LEFT JOIN pg_catalog.pg_attrdef d ON u.classid = 2604 AND d.oid = u.objid
    LEFT JOIN pg_catalog.pg_constraint k ON u.classid = 2606 AND k.oid = u.objid
    LEFT JOIN pg_catalog.pg_index i ON u.classid = 1259 AND i.indexrelid = u.objid
    WHERE u.refclassid IN (1255, 2617) AND u.refobjid >= 16384 AND u.classid IN (2604, 2606, 1259)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend m JOIN pg_catalog.pg_extension x ON x.oid = m.refobjid
                      WHERE m.classid = u.refclassid AND m.objid = u.refobjid AND m.deptype = 'e'
                        AND x.extname IN ('uuid-ossp', 'pgcrypto'))  -- they make random values, no more
) AS code
WHERE c.relpersistence <> 't' AND c.relkind <> 't' AND n.nspname <> 'pg_toast'
"""

COLUMNS = """
SELECT a.attrelid AS relation, a.attnum AS number, a.attname AS name, a.atttypid AS type_oid,
       COALESCE(e.typname, t.typname) AS type_name,
       a.atttypid >= 16384 AND COALESCE(e.typtype, t.typtype) <> 'e' AS user_type,
       COALESCE(e.typtype, t.typtype) = 'e' AS enum, t.typtype = 'e' AS is_enum,
       a.attgenerated <> '' AS generated,
       COALESCE(l.collisdeterministic, true) AS deterministic,
       a.attnotnull AND NOT EXISTS (  -- from 18 on, a constraint may be there that old rows need not satisfy
           SELECT FROM pg_catalog.pg_constraint k
           WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]
       ) AS not_null
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A' AND t.typtype = 'b'
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm')
  AND c.relpersistence <> 't'
ORDER BY a.attrelid, a.attnum
"""

# With pg_catalog alone on the search path, every other name in a definition is qualified.
VIEWS = """
SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) AS definition
FROM pg_catalog.pg_class c
WHERE c.oid >= 16384 AND c.relkind = 'v' AND c.relpersistence <> 't'
"""

# As `VIEWS`. Of tables whose row security is off, policies decide nothing.
POLICIES = """
SELECT p.polrelid AS relation, p.polname AS name, p.polcmd IN ('r', '*') AS of_reads,
       pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS shown,
       pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS checked
FROM pg_catalog.pg_policy p
JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
WHERE c.relrowsecurity AND c.relpersistence <> 't'
ORDER BY p.polrelid, p.polname
"""

# Functions that policies call whose body may stand in the place of the call: in SQL, without arguments, giving one
# value of a built-in type, with the rights and the settings of who calls them.
POLICY_FUNCTIONS = """
SELECT n.nspname AS schema, f.proname AS name, f.prosrc AS body
FROM pg_catalog.pg_proc f
JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = f.prolang
JOIN pg_catalog.pg_type t ON t.oid = f.prorettype
WHERE f.oid >= 16384 AND l.lanname = 'sql' AND f.pronargs = 0 AND f.prokind = 'f' AND NOT f.proretset
  AND NOT f.prosecdef AND f.proconfig IS NULL AND f.prosqlbody IS NULL
  AND t.oid < 16384 AND t.typtype = 'b' AND t.typcategory NOT IN ('D', 'T')
  AND EXISTS (SELECT FROM pg_catalog.pg_depend d
              WHERE d.classid = 3256 AND d.refclassid = 1255 AND d.refobjid = f.oid)  -- of pg_policy on pg_proc
"""

# Sessions read the server's configuration again at about the same moment.
LOADED = "SELECT pg_catalog.pg_conf_load_time()::pg_catalog.text"

KEYS = """
SELECT i.indrelid AS relation, i.indisprimary AS is_primary, i.indisreplident AS is_identity,
       pg_catalog.string_to_array(i.indkey::pg_catalog.text, ' ')::pg_catalog.int4[] AS numbers,
       i.indnkeyatts AS key_count
FROM pg_catalog.pg_index i
WHERE i.indrelid >= 16384 AND (i.indisprimary OR i.indisreplident) AND i.indisvalid
"""

# A function or operator of the database competes for calls with built-in types unless one of its arguments is of a
# base type of the database that no built-in value becomes by itself, and a built-in with as many arguments exists:
# Postgres then takes that one, or, if the user's type is text-like, the one that takes text.
_FOREIGN_ARGUMENT = """
    EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = ANY ({arguments}) AND t.oid >= 16384 AND t.typtype = 'b'
            AND (t.typcategory = 'U' AND EXISTS ({twin}) OR t.typcategory = 'S' AND EXISTS ({twin} AND {takes_text}))
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.casttarget = t.oid AND k.castsource < 16384
                            AND k.castcontext = 'i'))
"""
_FOREIGN_FUNCTION = _FOREIGN_ARGUMENT.format(
    arguments="p.proargtypes::pg_catalog.oid[]",
    twin="SELECT FROM pg_catalog.pg_proc b WHERE b.proname = p.proname AND b.oid < 16384 AND b.pronargs = p.pronargs",
    takes_text="25 = ANY (b.proargtypes::pg_catalog.oid[])",
)
_FOREIGN_OPERATOR = _FOREIGN_ARGUMENT.format(
    arguments="ARRAY[o.oprleft, o.oprright]",
    twin="SELECT FROM pg_catalog.pg_operator b WHERE b.oprname = o.oprname AND b.oid < 16384 "
    "AND (b.oprleft = 0) = (o.oprleft = 0)",
    takes_text="25 IN (b.oprleft, b.oprright)",
)

FUNCTIONS = f"""
SELECT p.proname AS name,
       pg_catalog.bool_and(p.provolatile = 'i') FILTER (WHERE builtin.yes) AS immutable,
       pg_catalog.bool_and(p.provolatile IN ('i', 's')) FILTER (WHERE builtin.yes) AS steady,
       pg_catalog.bool_or(builtin.yes) AS builtin,
       pg_catalog.bool_or(NOT builtin.yes) AS user_defined,
       pg_catalog.bool_or(NOT builtin.yes AND NOT {_FOREIGN_FUNCTION}) AS competing,
       pg_catalog.bool_or(p.pronargs > 0 AND (NOT builtin.yes OR EXISTS (
           SELECT FROM pg_catalog.pg_type t WHERE t.oid = p.proargtypes[0] AND t.typtype = 'p'))) AS on_rows
FROM pg_catalog.pg_proc p
CROSS JOIN LATERAL (SELECT p.oid < 16384 AND p.pronamespace = 11 AS yes) AS builtin
WHERE p.oid >= 16384 OR p.pronamespace = 11
GROUP BY p.proname
"""

OPERATORS = f"""
SELECT o.oprname AS symbol, pg_catalog.bool_or(o.oid < 16384) AS builtin,
       pg_catalog.bool_or(o.oid >= 16384 AND NOT {_FOREIGN_OPERATOR}) AS competing
FROM pg_catalog.pg_operator o
GROUP BY o.oprname
"""

# Casts between built-in types, enums and rows. Reading an enum's or a text's value from text (WITH INOUT) is
# harmless.
USER_CASTS = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_cast k
    JOIN pg_catalog.pg_type s ON s.oid = k.castsource
    JOIN pg_catalog.pg_type t ON t.oid = k.casttarget
    WHERE k.oid >= 16384 AND (s.oid < 16384 OR s.typtype IN ('e', 'c')) AND (t.oid < 16384 OR t.typtype IN ('e', 'c'))
      AND NOT (k.castmethod = 'i' AND (t.typtype = 'e' OR t.oid IN (25, 1042, 1043)))
)
"""

# Parsers and templates of dictionaries are code. Of what these extensions bring it is known that it reads no table.
USER_TEXT_SEARCH = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_ts_parser p WHERE p.oid >= 16384) OR EXISTS (
    SELECT FROM pg_catalog.pg_ts_template t
    WHERE t.oid >= 16384 AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
        WHERE d.classid = 3764 AND d.objid = t.oid AND d.refclassid = 3079 AND d.deptype = 'e'
          AND x.extname IN ('unaccent', 'dict_int', 'dict_xsyn')))
"""

# Changes when a name may mean another configuration. In a prepared statement it goes on to mean the one that it meant.
TEXT_SEARCH_NAMES = """
SELECT COALESCE(pg_catalog.bit_xor(pg_catalog.hashtextextended(
    pg_catalog.concat_ws('.', c.oid, c.cfgnamespace, c.cfgname), 0)), 0) & 9223372036854775807
FROM pg_catalog.pg_ts_config c
"""

BUILTIN_TYPES = """
SELECT pg_catalog.array_agg(t.typname::pg_catalog.text) FROM pg_catalog.pg_type t
WHERE t.typnamespace = 11 AND t.oid < 16384 AND t.typtype IN ('b', 'r', 'm') AND t.typcategory <> 'A'
"""
