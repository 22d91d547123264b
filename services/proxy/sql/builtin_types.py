"""The built-in types that statements and cached relations may use, and how equal their values are.

Left out on purpose: reg* types (their text depends on the catalogs), `time with time zone` (reading one depends on
today's date) and pseudo types. Names are those of `pg_type.typname`.
"""

REG_TYPES = frozenset(
    """
    regclass regcollation regconfig regdatabase regdictionary regnamespace regoper regoperator regproc
    regprocedure regrole regtype
    """.split()
)

# Reading a text as one of these may mean a moment relative to now.
MOMENT_TYPES = frozenset(
    """
    date time timestamp timestamptz daterange tsrange tstzrange datemultirange tsmultirange tstzmultirange
    """.split()
)

# What a text is; only these are read as another type when they are cast to it.
TEXT_TYPES = frozenset(("text", "varchar", "bpchar", "char", "name"))

PLAIN_TYPES = (
    frozenset(
        """
    bool int2 int4 int8 float4 float8 numeric money oid text varchar bpchar char name bytea bit varbit uuid
    json jsonb jsonpath xml interval inet cidr macaddr macaddr8 pg_lsn point line lseg box path polygon circle
    tsvector tsquery xid xid8 int4range int8range numrange int4multirange int8multirange nummultirange
    """.split()
    )
    | MOMENT_TYPES
)

# How SQL spells a type, apart from its own name. Several words are joined by a space.
SQL_NAMES = {
    "boolean": "bool",
    "smallint": "int2",
    "int": "int4",
    "integer": "int4",
    "bigint": "int8",
    "real": "float4",
    "float": "float8",
    "double precision": "float8",
    "decimal": "numeric",
    "dec": "numeric",
    "character": "bpchar",
    "char": "bpchar",
    "character varying": "varchar",
    "char varying": "varchar",
    "bit varying": "varbit",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
}
