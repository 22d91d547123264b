"""One spelling for values that SQL finds equal, so that a statement and a row change come to the same tag. Pure.

What has to hold: if `a = b` is true in Postgres, the canonical forms of a and b are the same bytes, or one of them is
None, which widens the tag. The reverse need not hold: a false merge only evicts too much. So whatever a type's input
would accept and is not understood here is None, never a guess.

Types whose values compare with each other are a *family* and have one form in common: `5::int2`, `5::int8` and
`5.00::numeric` are `5`. Floating point, char(n), citext, domains and the rest are None: their equality is not that of
their text. Texts compare by their bytes if the collation is deterministic; that is for the caller to know.

Texts of more than `LONGEST_TEXT` bytes stand as their SHA-256, since a row change carries no more of them.
"""

import re
from collections.abc import Callable
from datetime import date
from enum import IntEnum
from hashlib import sha256
from struct import Struct

LONGEST_TEXT = 256  # bytes; a longer value is carried by events as its hash
_HASH_MARK = b"sha256:"


class TypeOid(IntEnum):
    """OIDs of the types that have a canonical form; fixed in Postgres's catalogs."""

    BOOL = 16
    INT8 = 20
    INT2 = 21
    INT4 = 23
    TEXT = 25
    VARCHAR = 1043
    DATE = 1082
    NUMERIC = 1700
    UUID = 2950


_TEXTS = frozenset((TypeOid.TEXT, TypeOid.VARCHAR))

_SPACE = " \t\n\v\f\r"  # isspace() of the C locale, which the input functions skip
_INTEGER = re.compile(r"([+-]?)([0-9]{1,40})")
_DECIMAL = re.compile(r"([+-]?)(?:([0-9]{1,1000})(?:\.([0-9]{0,1000}))?|\.([0-9]{1,1000}))(?:[eE]([+-]?[0-9]{1,6}))?")
_NOT_FINITE = {
    "nan": b"NaN",
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), b"Infinity"),
    **dict.fromkeys(("-inf", "-infinity"), b"-Infinity"),
}
_UUID_GROUPS = re.compile(r"[0-9a-f]{4}(?:-?[0-9a-f]{4}){7}")
_TRUE = frozenset(("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"))
_FALSE = frozenset(("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"))
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")  # means the same under every DateStyle
_DATE_EPOCH = date(2000, 1, 1).toordinal()
_DATE_INFINITIES = {2**31 - 1: b"infinity", -(2**31): b"-infinity"}

_INT2, _INT4, _INT8 = Struct(">h"), Struct(">i"), Struct(">q")
_NUMERIC_HEAD = Struct(">HhHH")  # digits, weight, sign, display scale
_NUMERIC_SIGNS = {0x0000: "", 0x4000: "-"}
_NUMERIC_SPECIAL = {0xC000: b"NaN", 0xD000: b"Infinity", 0xF000: b"-Infinity"}


def canonical_text(type_oid: int, text: str) -> bytes | None:
    """Return the canonical form of a value that is given as text.

    Args:
        type_oid: The value's type.
        text: What the type's input function would be given, or what its output function gave. Dates: in ISO form.

    Returns:
        The form, or None when there is none: then the tag has to be widened.
    """
    reader = _TEXT_READERS.get(type_oid)
    return None if reader is None else reader(text)


def canonical_binary(type_oid: int, data: bytes) -> bytes | None:
    """Return the canonical form of a value in Postgres's binary format.

    Args:
        type_oid: The value's type.
        data: The value. Texts have to be in UTF-8, whatever the session's encoding.

    Returns:
        The form, or None when there is none: then the tag has to be widened.
    """
    reader = _BINARY_READERS.get(type_oid)
    return None if reader is None else reader(data)


def canonical_hashed(type_oid: int, length: int, sha256_hex: str) -> bytes | None:
    """Return the canonical form of a value of which an event carries only length (bytes of its text) and hash.

    Returns:
        The form, or None: of other types than text, and of short texts that the settings hide, the form is the value's
        own spelling, which the hash does not tell.
    """
    if type_oid not in _TEXTS or length <= LONGEST_TEXT:
        return None
    return _HASH_MARK + sha256_hex.encode()


def _decimal_form(sign: str, digits: str, exponent: int) -> bytes:
    """Write ±digits·10^exponent without leading or trailing zeros."""
    significant = digits.lstrip("0")
    shortest = significant.rstrip("0")
    if not shortest:
        return b"0"
    exponent += len(significant) - len(shortest)
    minus = "-" if sign == "-" else ""
    return f"{minus}{shortest}{f'e{exponent}' if exponent else ''}".encode()


def _integer(text: str) -> bytes | None:
    found = _INTEGER.fullmatch(text.strip(_SPACE))
    return None if found is None else _decimal_form(found[1], found[2], 0)


def _numeric(text: str) -> bytes | None:
    stripped = text.strip(_SPACE)
    found = _DECIMAL.fullmatch(stripped)
    if found is None:
        return _NOT_FINITE.get(stripped.lower())
    sign, whole, fraction, bare_fraction, exponent = found.groups()
    after_point = fraction or bare_fraction or ""
    return _decimal_form(sign, (whole or "") + after_point, int(exponent or 0) - len(after_point))


def _text(text: str) -> bytes | None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # lone surrogates: the bytes were not UTF-8
        return None
    return _short(raw)


def _short(raw: bytes) -> bytes:
    return raw if len(raw) <= LONGEST_TEXT else _HASH_MARK + sha256(raw).hexdigest().encode()


def _uuid(text: str) -> bytes | None:
    lower = text.lower()
    if lower.startswith("{") and lower.endswith("}"):
        lower = lower[1:-1]
    return lower.replace("-", "").encode() if _UUID_GROUPS.fullmatch(lower) else None


def _bool(text: str) -> bytes | None:
    word = text.strip(_SPACE).lower()
    if word in _TRUE:
        return b"t"
    return b"f" if word in _FALSE else None


def _date(text: str) -> bytes | None:
    stripped = text.strip(_SPACE)
    if _ISO_DATE.fullmatch(stripped) or stripped in ("infinity", "-infinity"):
        return stripped.encode()
    return None


def _integer_of(layout: Struct) -> Callable[[bytes], bytes | None]:
    def read(data: bytes) -> bytes | None:
        if len(data) != layout.size:
            return None
        (number,) = layout.unpack(data)
        return _decimal_form("-" if number < 0 else "", str(abs(number)), 0)

    return read


def _binary_numeric(data: bytes) -> bytes | None:
    if len(data) < _NUMERIC_HEAD.size:
        return None
    count, weight, sign, scale = _NUMERIC_HEAD.unpack_from(data)
    if sign in _NUMERIC_SPECIAL:
        return _NUMERIC_SPECIAL[sign]
    groups = [group for (group,) in _INT2.iter_unpack(data[_NUMERIC_HEAD.size :])] if len(data) % 2 == 0 else []
    if len(groups) != count or sign not in _NUMERIC_SIGNS or not all(0 <= group < 10_000 for group in groups):
        return None
    digits, exponent = "".join(f"{group:04d}" for group in groups), 4 * (weight - count + 1)
    hidden = -exponent - scale  # fractional digits beyond the display scale: Postgres cuts them off on input
    if hidden > 0 and digits[-hidden:].strip("0"):
        return None
    return _decimal_form(_NUMERIC_SIGNS[sign], digits, exponent)


def _binary_text(data: bytes) -> bytes | None:
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return _short(data)


def _binary_uuid(data: bytes) -> bytes | None:
    return data.hex().encode() if len(data) == 16 else None


def _binary_bool(data: bytes) -> bytes | None:
    if len(data) != 1:
        return None
    return b"t" if data != b"\x00" else b"f"


def _binary_date(data: bytes) -> bytes | None:
    if len(data) != _INT4.size:
        return None
    (days,) = _INT4.unpack(data)
    if days in _DATE_INFINITIES:
        return _DATE_INFINITIES[days]
    ordinal = days + _DATE_EPOCH
    if not 1 <= ordinal <= date.max.toordinal():
        return None
    return date.fromordinal(ordinal).isoformat().encode()


_TEXT_READERS: dict[int, Callable[[str], bytes | None]] = {
    TypeOid.BOOL: _bool,
    TypeOid.INT2: _integer,
    TypeOid.INT4: _integer,
    TypeOid.INT8: _integer,
    TypeOid.TEXT: _text,
    TypeOid.VARCHAR: _text,
    TypeOid.DATE: _date,
    TypeOid.NUMERIC: _numeric,
    TypeOid.UUID: _uuid,
}

_BINARY_READERS: dict[int, Callable[[bytes], bytes | None]] = {
    TypeOid.BOOL: _binary_bool,
    TypeOid.INT2: _integer_of(_INT2),
    TypeOid.INT4: _integer_of(_INT4),
    TypeOid.INT8: _integer_of(_INT8),
    TypeOid.TEXT: _binary_text,
    TypeOid.VARCHAR: _binary_text,
    TypeOid.DATE: _binary_date,
    TypeOid.NUMERIC: _binary_numeric,
    TypeOid.UUID: _binary_uuid,
}
