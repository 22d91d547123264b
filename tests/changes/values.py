"""Values for the columns of made tables, as SQL literals: ordinary ones, and those that get lost on the way.

Every literal is one line. Long ones are written as expressions that make them, so that a history stays readable.
"""

from collections.abc import Mapping

from tests.wire.chance import Chance

_TEXTS = (
    "'a'", "'b'", "'A'", "''", "' '", "'a '", "'NULL'", "'null'", "E'\\\\N'", "E'\\\\.'", "E'tab\\there'",
    "E'two\\nlines'",
    "E'\\r'", "'quo''te'", "'\"double\"'", "E'back\\\\slash'", "'{curly}'", "'café'", "'ñandú 🐘'", "U&'\\200B'",
    "E'\\u0001'", "'1'", "'01'", "'%_'", "'Straße'", "repeat('x', 256)", "repeat('x', 257)", "repeat('é', 128)",
)  # fmt: skip
_LONG = (
    # Not compressible, stored outside of the row: what pgoutput calls unchanged TOAST.
    "(SELECT string_agg(md5({n}::text || i), '') FROM generate_series(1, 100) i)",
    "repeat('{n}', 9000)",
    "'short {n}'",
    "NULL",
)

TYPES: Mapping[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "-1", "7", "2147483647", "-2147483648", "NULL"),
    "bigint": ("0", "1", "-1", "9223372036854775807", "NULL"),
    "smallint": ("0", "3", "-32768", "NULL"),
    "text": (*_TEXTS, "NULL"),
    "varchar(300)": (*_TEXTS, "NULL"),
    "char(4)": ("'a'", "'abcd'", "''", "NULL"),
    "numeric": ("0", "0.00", "1.10", "1.1", "-0.5", "'NaN'", "1e30", "123456789.987654321", "NULL"),
    "numeric(12,3)": ("0", "1.1", "-7.125", "NULL"),
    "float8": ("0", "'-0'", "0.1", "'NaN'", "'Infinity'", "1e-300", "NULL"),
    "bool": ("true", "false", "NULL"),
    "timestamptz": (
        "'2026-01-01 00:00:00+00'", "'2026-01-01 01:00:00+01'", "'infinity'", "'0044-03-15 12:00:00+00 BC'",
        "'2026-06-30 23:59:59.999999+00'", "NULL",
    ),
    "date": ("'2026-01-01'", "'infinity'", "'0044-03-15 BC'", "NULL"),
    "interval": ("'1 day'", "'24 hours'", "'1 mon -1 day'", "NULL"),
    "jsonb": ("'{}'", "'{\"a\": [1, null, \"x\"]}'", "'\"text\"'", "'null'", "'1.10'", "NULL"),
    "text[]": ("'{}'", "'{a,NULL,\"b c\"}'", "ARRAY['{', '\"', E'\\\\', '']", "ARRAY[ARRAY['a'], ARRAY['b']]", "NULL"),
    "int[]": ("'{}'", "'{1,2,3}'", "'[0:1]={7,8}'", "NULL"),
    "uuid": ("'00000000-0000-0000-0000-000000000001'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "NULL"),
    "bytea": ("'\\x'", "'\\x00ff'", "'\\x6162'", "NULL"),
    "int4range": ("'[1,5)'", "'(1,5]'", "'empty'", "NULL"),
    "s1.mood": ("'sad'", "'so so'", "'happy'", "NULL"),
    "s1.positive": ("1", "2", "NULL"),
}  # fmt: skip
"""Types with some of their values. `s1.mood` is an enum, `s1.positive` a domain over int."""

KEY_TEXT = "key text"
"""Stands for `text NOT NULL`, as a part of a key."""

LONG_TYPE = "long text"
"""Stands for `text` in which most values are too long for their row."""

_CASTABLE: Mapping[str, tuple[str, ...]] = {
    "int": ("bigint", "numeric", "text"),
    "bigint": ("numeric", "text"),
    "smallint": ("int", "text"),
    "bool": ("text",),
    "date": ("text", "timestamptz"),
    "numeric(12,3)": ("numeric", "text"),
    "numeric": ("text",),
    "uuid": ("text",),
    "jsonb": ("text",),
    "varchar(300)": ("text",),
    "s1.mood": ("text",),
}


def literal(chance: Chance, type_name: str) -> str:
    """Return a value of a type."""
    if type_name == KEY_TEXT:
        return chance.pick(_TEXTS)
    if type_name == LONG_TYPE:
        return chance.pick(_LONG).replace("{n}", str(chance.between(1, 99)))
    return chance.pick(TYPES[type_name])


def wider_type(chance: Chance, type_name: str) -> tuple[str, str] | None:
    """Return another type that a column's values can be cast to, and how; None if none comes to mind.

    Some of these rewrite the table, some rewrite values, and some do neither.
    """
    if type_name in {"int", "bigint"} and chance.one_in(3):
        return type_name, "{column} + 1"
    if type_name in {"text", LONG_TYPE}:
        return type_name, chance.pick(("upper({column})", "{column} || 'x'", "NULL"))
    choices = _CASTABLE.get(type_name)
    if choices is None:
        return None
    other = chance.pick(choices)
    return other, f"{{column}}::{other}"


def sql_type(type_name: str) -> str:
    """Return how the type is called in SQL."""
    return {LONG_TYPE: "text", KEY_TEXT: "text"}.get(type_name, type_name)
