"""What `tests/property/test_order_keys.py` would meet by chance only."""

from struct import pack

import pytest

from services.shared.keyspace.canonical import TypeOid
from services.shared.keyspace.order_keys import HIGHEST, OrderedOid, key_of_row_value, keys_of_binary, keys_of_text


@pytest.mark.parametrize("sign", [0.0, -0.0])
def test_no_number_is_greater_than_nan_of_either_sign(sign: float) -> None:
    not_a_number = pack(">Q", 0x7FF8_0000_0000_0000 | (0x8000_0000_0000_0000 if str(sign) == "-0.0" else 0))
    keys = keys_of_binary(OrderedOid.FLOAT8, OrderedOid.FLOAT8, not_a_number)
    assert keys == (HIGHEST, HIGHEST)


def test_a_moment_without_a_time_zone_may_be_almost_sixteen_hours_off() -> None:
    keys = keys_of_text(OrderedOid.TIMESTAMPTZ, OrderedOid.TIMESTAMPTZ, "2024-02-29 12:00:00")
    assert keys is not None
    for at in ("2024-02-28 20:00:01+00", "2024-03-01 03:59:59+00"):  # under +15:59:59 and -15:59:59
        key = key_of_row_value(OrderedOid.TIMESTAMPTZ, at)
        assert key is not None
        assert keys.low <= key <= keys.high


@pytest.mark.parametrize(
    ("type_oid", "text"),
    [
        (TypeOid.DATE, "2024-02-29 12:00"),  # the time would be dropped
        (TypeOid.DATE, "02/03/2024"),
        (TypeOid.DATE, "2023-02-29"),
        (OrderedOid.TIMESTAMP, "2024-02-29 12:00:00+05"),  # the zone would be dropped
        (OrderedOid.TIMESTAMP, "2024-02-29 12:00:00.0000005"),  # would be rounded
        (OrderedOid.TIMESTAMPTZ, "2024-02-29 12:00:00 CET"),
        (OrderedOid.TIMESTAMP, "0044-03-15 12:00:00 BC"),
        (OrderedOid.FLOAT8, "0x10"),
        (TypeOid.INT4, "1_000"),
        (700, "0.1"),
        (TypeOid.TEXT, "a"),
    ],
)
def test_what_is_not_understood_has_no_key(type_oid: int, text: str) -> None:
    assert keys_of_text(type_oid, type_oid, text) is None
