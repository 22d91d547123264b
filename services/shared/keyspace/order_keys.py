"""Keys that keep the order of values, so that a range of values becomes an interval of keys. Pure.

What has to hold: if `a <= b` is true in Postgres, the key of a is not greater than that of b; values that are not
understood have none, which widens the tag. Keys are coarse: different values may share one, which evicts more and never
less. All comparisons are between values of one *order*: numbers of any kind (Postgres compares what is of two kinds as
the wider one, and going over to that keeps the order), moments, and UUIDs.

A number's key is the leading bits of the double next to it, which tell whole numbers up to a million apart, and larger
ones to a millionth; a moment's is its second, from 1932 to 2068, and the first or last of these for what lies beyond.

A moment with a time zone and one without compare by the session's time zone, which is not known here: the key of the
one is then anywhere within the largest offset. Left out is float4, as which a text is not rounded the way we would.
"""

import re
from datetime import date
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from services.shared.keyspace.canonical import TypeOid, canonical_binary, canonical_text
from services.shared.keyspace.intervals import KEY_BITS


class OrderedOid(IntEnum):
    """OIDs of types with an order, beside those that have a canonical form; fixed in Postgres's catalogs."""

    FLOAT8 = 701
    TIMESTAMP = 1114
    TIMESTAMPTZ = 1184


class Keys(NamedTuple):
    """Between which keys a value lies: they differ where it is not known for certain."""

    low: int
    high: int


NUMBERS = (TypeOid.INT8, TypeOid.INT2, TypeOid.INT4, TypeOid.NUMERIC, OrderedOid.FLOAT8)
MOMENTS = (TypeOid.DATE, OrderedOid.TIMESTAMP, OrderedOid.TIMESTAMPTZ)
ORDERED: frozenset[int] = frozenset((*NUMBERS, *MOMENTS, TypeOid.UUID))
"""Types whose values have a key."""

LOWEST, HIGHEST = 0, (1 << KEY_BITS) - 1

_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,6})?)?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2}(?::[0-9]{2})?)?)?"
)
_SPACE = " \t\n\v\f\r"
_LARGEST_OFFSET_SECONDS = 16 * 3600.0  # of the zones in the tables; sessions in others are not cached
_DAY_SECONDS = 86_400
_EPOCH_DAY = date(2000, 1, 1).toordinal()
_EPOCH_KEY = 1 << KEY_BITS - 1
_INFINITIES = {"infinity": float("inf"), "-infinity": float("-inf")}
_DOUBLE, _DOUBLE_BITS = Struct(">d"), Struct(">Q")
_DAYS, _MICROSECONDS = Struct(">i"), Struct(">q")
_LARGEST_DAYS, _LARGEST_MICROSECONDS = 2**31 - 1, 2**63 - 1
_SIGN = 1 << 63
_ALL_BITS = (1 << 64) - 1
_DROPPED_BITS = 64 - KEY_BITS


def keys_of_text(column_oid: int, type_oid: int, text: str) -> Keys | None:
    """Return the keys of a value that is given as text.

    Args:
        column_oid: Type of the column that it is compared with.
        type_oid: The value's own type.
        text: What the type's input function would be given, or what its output function gave; moments in ISO form.

    Returns:
        The keys, or None when there are none: then the tag has to be widened.
    """
    if type_oid in MOMENTS:
        return _moment_keys(column_oid, type_oid, _seconds_of_text(type_oid, text))
    form = canonical_text(TypeOid.NUMERIC if type_oid == OrderedOid.FLOAT8 else type_oid, text)
    return _plain_keys(type_oid, form)


def keys_of_binary(column_oid: int, type_oid: int, data: bytes) -> Keys | None:
    """Return the keys of a value in Postgres's binary format; see `keys_of_text`."""
    if type_oid in MOMENTS:
        seconds = _seconds_of_binary(type_oid, data)
        return _moment_keys(column_oid, type_oid, None if seconds is None else (seconds, True))
    if type_oid == OrderedOid.FLOAT8:
        return _exactly(_key(_DOUBLE.unpack(data)[0])) if len(data) == _DOUBLE.size else None
    return _plain_keys(type_oid, canonical_binary(type_oid, data))


def key_of_row_value(type_oid: int, text: str) -> int | None:
    """Return the key of a column's value as a row change gives it; None where it has none."""
    keys = keys_of_text(type_oid, type_oid, text)
    return None if keys is None or keys.low != keys.high else keys.low


def _plain_keys(type_oid: int, form: bytes | None) -> Keys | None:
    """Return the keys of a number or UUID in canonical form."""
    if form is None:
        return None
    if type_oid == TypeOid.UUID:
        return _exactly(int(form, 16) >> 128 - KEY_BITS)
    return _exactly(_key(float(form))) if type_oid in NUMBERS else None


def _moment_keys(column_oid: int, type_oid: int, found: tuple[float, bool] | None) -> Keys | None:
    """Return the keys of a moment, of which is known whether it was given with its time zone."""
    if found is None:
        return None
    seconds, has_zone = found
    is_zoned = type_oid == OrderedOid.TIMESTAMPTZ
    if is_zoned == (column_oid == OrderedOid.TIMESTAMPTZ) and (has_zone or not is_zoned):
        return _exactly(_second_key(seconds))
    return Keys(_second_key(seconds - _LARGEST_OFFSET_SECONDS), _second_key(seconds + _LARGEST_OFFSET_SECONDS))


def _exactly(key: int) -> Keys:
    return Keys(key, key)


def _second_key(seconds: float) -> int:
    """Return the key of so many seconds after 2000."""
    return int(min(max(seconds + _EPOCH_KEY, LOWEST), HIGHEST))


def _key(value: float) -> int:
    """Return the leading bits of a double, turned so that they keep the order; NaN is greater than all else."""
    if value != value:
        return HIGHEST
    (bits,) = _DOUBLE_BITS.unpack(_DOUBLE.pack(value + 0.0))  # -0.0 is 0.0
    ordered: int = bits ^ _ALL_BITS if bits & _SIGN else bits ^ _SIGN
    return ordered >> _DROPPED_BITS


def _seconds_of_text(type_oid: int, text: str) -> tuple[float, bool] | None:
    """Return the seconds since 2000 of a moment, and whether it says its time zone."""
    stripped = text.strip(_SPACE)
    if stripped in _INFINITIES:
        return _INFINITIES[stripped], True
    found = _MOMENT.fullmatch(stripped)
    if found is None:
        return None
    *day, hour, minute, second, fraction, zone = found.groups()
    # A date's input drops the time of the day, a timestamp's the zone: what is left is not what was written.
    if (type_oid == TypeOid.DATE and hour is not None) or (type_oid != OrderedOid.TIMESTAMPTZ and zone is not None):
        return None
    try:
        days = date(*map(int, day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    whole = days * _DAY_SECONDS + int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    return whole - _offset_seconds(zone) + float(fraction or 0), zone is not None


def _offset_seconds(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "").ljust(6, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return -seconds if zone[0] == "-" else seconds


def _seconds_of_binary(type_oid: int, data: bytes) -> float | None:
    layout, largest = (_DAYS, _LARGEST_DAYS) if type_oid == TypeOid.DATE else (_MICROSECONDS, _LARGEST_MICROSECONDS)
    if len(data) != layout.size:
        return None
    (count,) = layout.unpack(data)
    if count in (largest, -largest - 1):
        return _INFINITIES["infinity" if count > 0 else "-infinity"]
    return float(count * _DAY_SECONDS) if type_oid == TypeOid.DATE else count / 1_000_000
