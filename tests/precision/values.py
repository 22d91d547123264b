"""The types of made columns, each with the few values that they hold: few, so that rows match by chance. Pure.

Some values are equal and look different (5 and 5.00), some look alike and differ (with a space behind, in another
Unicode form), and some are long: beyond what an event carries, and beyond what stays in the row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from struct import error, pack
from uuid import UUID

from tests.precision.case import Parameter
from tests.wire.chance import Chance

Encode = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of columns.

    Attributes:
        name: Its name, as a client declares it.
        sql: As it is written in CREATE TABLE.
        family: Kinds of one family compare with each other.
        values: What columns hold, as text.
        odd: Other ways to write values in a condition.
        orders: Whether `<` and max are of use.
    """

    name: str
    sql: str
    family: str
    values: tuple[str, ...]
    odd: tuple[str, ...] = ()
    orders: bool = True

    @property
    def is_number(self) -> bool:
        """Whether its values may be written without quotes."""
        return self.family == "numbers"


_WORDS = ("", "a", "A", "a ", "b", "ä", "a\u0308", "\u00a0a", "NULL", "x'y\\z")
_LONG = "long" * 75  # an event carries its hash
_VERY_LONG = "very long" * 300  # moved out of the row where the column's storage is EXTERNAL
_UUIDS = tuple(f"0000000{number}-0000-4000-8000-00000000000a" for number in range(4))

INT2 = Kind("int2", "int2", "numbers", ("0", "1", "2", "3"))
INT4 = Kind("int4", "int4", "numbers", ("0", "1", "2", "3", "-1"), (" 2", "02", "+1"))
INT8 = Kind("int8", "int8", "numbers", ("0", "1", "2", "3", "17", "5000000000"))
MONEY = Kind("numeric", "numeric(10,2)", "numbers", ("0.00", "1.00", "2.00", "2.50", "3.00"), ("2.5", "1", "1.000"))
NUMERIC = Kind("numeric", "numeric", "numbers", ("0", "0.0", "1", "1.0", "2.00", "2.5", "NaN"), ("1e0", "25e-1"))
FLOAT = Kind("float8", "float8", "numbers", ("0", "-0", "1", "2", "2.5", "NaN", "Infinity"))
BOOL = Kind("bool", "bool", "bool", ("t", "f"), ("yes", "off", "TRUE"))
TEXT = Kind("text", "text", "texts", (*_WORDS, _LONG, *[_VERY_LONG] * 5))
VARCHAR = Kind("varchar", "varchar(4000)", "texts", (*_WORDS[:6], _LONG))
CHAR = Kind("bpchar", "char(3)", "texts", ("a", "b", "a b"), ("a ",))
FREE_TEXT = Kind("text", 'text COLLATE "free"', "texts", ("a", "A", "ä", "b"))
UUID_ = Kind("uuid", "uuid", "uuid", _UUIDS, tuple(value.upper().replace("-", "") for value in _UUIDS))
DATE = Kind(
    "date", "date", "moments", ("2024-01-01", "2024-02-29", "infinity", "0044-03-15 BC"), ("20240101", " 2024-02-29")
)
TIMESTAMP = Kind(
    "timestamp", "timestamp", "moments", ("2024-01-01 00:00:00", "2024-01-01 12:00:00.5", "2024-02-29 00:00:00")
)
ZONED = Kind(
    "timestamptz",
    "timestamptz",
    "moments",
    ("2024-01-01 00:00:00+00", "2024-01-01 12:00:00+05:30", "2024-02-29 00:00:00-08", "-infinity"),
    ("2024-01-01", "2024-01-01 12:00", "2024-01-01T06:30:00Z"),
)
MOOD = Kind("mood", "mood", "mood", ("glad", "sad", "so so", "Glad"))
INTS = Kind("_int4", "int4[]", "ints", ("{}", "{1}", "{1,NULL}", "{1,2}"))
TEXTS = Kind("_text", "text[]", "text arrays", ("{}", "{a}", '{"a ",NULL}'))
JSON = Kind("jsonb", "jsonb", "json", ('{"a": 1}', '{"a": 1.0}', "[]"), orders=False)

KINDS = (
    INT2, INT4, INT4, INT8, MONEY, NUMERIC, FLOAT, BOOL, TEXT, TEXT, TEXT, TEXT, VARCHAR, CHAR, FREE_TEXT, UUID_, DATE,
    TIMESTAMP, ZONED, MOOD, MOOD, INTS, TEXTS, JSON,
)  # fmt: skip
"""Those with a canonical form come more often."""

_KEY_TEXT = Kind("text", "text", "texts", (*_WORDS, _LONG))
_KEY_INT = Kind("int4", "int4", "numbers", tuple(map(str, range(7))))
KEY_KINDS = (_KEY_INT, _KEY_INT, INT4, INT8, INT2, MONEY, _KEY_TEXT, UUID_, DATE, MOOD)


def quoted(value: str | None) -> str:
    """Return a value as a string literal."""
    if value is None:
        return "NULL"
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def literal(chance: Chance, kind: Kind, value: str) -> str:
    """Return one of the ways to write a value in a condition."""
    plain = value.replace(".", "", 1).isdigit() and value.isascii()
    if kind.is_number and plain and not chance.one_in(4):
        return value
    if chance.one_in(12) and "$" not in value:
        return f"$q${value}$q$"
    if chance.one_in(12):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"E'{escaped}'"
    cast = f"::{kind.name}" if chance.one_in(15) and not kind.name.startswith("_") else ""
    return quoted(value) + cast


def parameter(chance: Chance, kind: Kind, value: str) -> tuple[Parameter, str]:
    """Return a parameter for a value, and the cast that is written behind it.

    Its declared type may be none, the column's, or another one that compares with it.
    """
    declared = chance.pick(("", "", kind.name, kind.name, chance.pick(_DECLARED.get(kind.family, (kind.name,)))))
    cast = chance.pick(("", "", "", "", f"::{chance.pick((kind.name, declared or kind.name))}"))
    if kind.name.startswith("_"):
        cast = ""
    sent = declared or cast[2:] or kind.name
    encode = _BINARY.get(sent)
    if encode is not None and chance.one_in(2):
        try:
            return Parameter(declared, True, encode(value)), cast
        except (ValueError, ArithmeticError, error):
            pass
    return Parameter(declared, False, value.encode()), cast


_DECLARED = {
    "numbers": ("int2", "int4", "int8", "numeric", "float8"),
    "texts": ("text", "varchar", "bpchar", "unknown"),
    "moments": ("date", "timestamp", "timestamptz"),
}


def _numeric(value: str) -> bytes:
    """Write a number as Postgres' binary numeric, with its scale."""
    number = Decimal(value)
    if not number.is_finite():
        return pack(">HhHH", 0, 0, 0xC000, 0)
    sign, digits, exponent = number.as_tuple()
    scale = max(0, -int(exponent))
    text = "".join(map(str, digits)) + "0" * max(0, int(exponent))
    whole, fraction = (text[:-scale], text[-scale:]) if scale else (text, "")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int((whole + fraction)[at : at + 4]) for at in range(0, len(whole + fraction), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        groups, weight = groups[1:], weight - 1
    while groups and groups[-1] == 0:
        groups = groups[:-1]
    head = pack(">HhHH", len(groups), weight if groups else 0, 0x4000 if sign else 0, scale)
    return head + pack(f">{len(groups)}h", *groups)


def _date(value: str) -> bytes:
    from datetime import date

    return pack(">i", date.fromisoformat(value).toordinal() - date(2000, 1, 1).toordinal())


_BINARY: dict[str, Encode] = {
    "int2": lambda value: pack(">h", int(value)),
    "int4": lambda value: pack(">i", int(value)),
    "int8": lambda value: pack(">q", int(value)),
    "float8": lambda value: pack(">d", float(value)),
    "numeric": _numeric,
    "text": str.encode,
    "varchar": str.encode,
    "bpchar": str.encode,
    "mood": str.encode,
    "uuid": lambda value: UUID(value).bytes,
    "date": _date,
    "bool": lambda value: bytes([value.lower() in ("t", "yes", "true")]),
}
_OID = {"int2": 21, "int4": 23, "int8": 20, "text": 25, "varchar": 1043, "uuid": 2950, "date": 1082}


def array_parameter(chance: Chance, kind: Kind, values: list[str | None]) -> tuple[Parameter, str]:
    """Return a parameter for an array of values, and the cast that is written behind it."""
    declared = chance.pick(("", f"_{kind.name}"))
    cast = f"::{kind.name}[]" if chance.one_in(3) else ""
    if kind.name in _OID and chance.one_in(2):
        try:
            return Parameter(declared, True, _binary_array(kind.name, values)), cast
        except (ValueError, error):
            pass
    return Parameter(declared, False, array_text(values).encode()), cast


def array_text(values: list[str | None]) -> str:
    """Return an array's text."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: str | None) -> str:
    if value is None:
        return "NULL"
    if value.isalnum() and value.lower() != "null":
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return value if value.startswith("\u00a0") else f'"{escaped}"'


def _binary_array(name: str, values: list[str | None]) -> bytes:
    if not values:
        return pack(">iiI", 0, 0, _OID[name])
    parts = [pack(">iiIii", 1, int(None in values), _OID[name], len(values), 1)]
    for value in values:
        data = None if value is None else _BINARY[name](value)
        parts.append(pack(">i", -1) if data is None else pack(">i", len(data)) + data)
    return b"".join(parts)
