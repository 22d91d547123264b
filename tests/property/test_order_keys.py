"""Keys keep the order in which SQL compares values; Postgres is the oracle.

A row whose value is in the range of a statement, and whose key is not in the interval of its keys, would leave a stale
answer for ever.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.shared.keyspace.canonical import TypeOid
from services.shared.keyspace.intervals import blocks_of, cover
from services.shared.keyspace.order_keys import (
    HIGHEST,
    LOWEST,
    OrderedOid,
    key_of_row_value,
    keys_of_binary,
    keys_of_text,
)
from tests.servers.postgres import PostgresServer

_NUMBERS = {
    "int2": TypeOid.INT2,
    "int4": TypeOid.INT4,
    "int8": TypeOid.INT8,
    "numeric": TypeOid.NUMERIC,
    "float8": OrderedOid.FLOAT8,
}
_MOMENTS = {"date": TypeOid.DATE, "timestamp": OrderedOid.TIMESTAMP, "timestamptz": OrderedOid.TIMESTAMPTZ}
_ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Etc/GMT+12", "<+15:59>-15:59:59")

_SET_UP = """
CREATE TYPE seen AS (less bool, greater bool, row_text text, bytes bytea);
CREATE FUNCTION look(row_value text, value text, t1 regtype, t2 regtype, zone text) RETURNS seen
LANGUAGE plpgsql AS $$
DECLARE found seen; send text;
BEGIN
  SELECT typsend::text INTO send FROM pg_type WHERE oid = t2;
  PERFORM set_config('TimeZone', 'UTC', false);
  EXECUTE format('SELECT ($1::%s)::text', t1) INTO row_value USING row_value;
  PERFORM set_config('TimeZone', zone, false);
  EXECUTE format('SELECT a <= b, a >= b, $1, %s(b) FROM (SELECT $1::%s AS a, $2::%s AS b) AS pair', send, t1, t2)
    INTO found USING row_value, value;
  RETURN found;
EXCEPTION WHEN data_exception THEN  -- not a value of the type
  RETURN NULL;
END $$
"""

_Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module", params=["newest", "oldest"])
def connection(request: pytest.FixtureRequest) -> Iterator[_Connection]:
    server: PostgresServer = request.getfixturevalue(f"{request.param}_postgres")
    with server.database("order_keys") as name, psycopg.connect(server.url(name), autocommit=True) as found:
        found.execute(_SET_UP)
        yield found


_number = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.integers(-5, 5).map(str),
    st.integers(2**20 - 3, 2**20 + 3).map(str),
    st.integers(2**53 - 3, 2**53 + 3).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-2, max_value=2).map(str),
    st.sampled_from(["0.1", "0.10000000000000001", "0.1000000000000000055511151231257827", "-0", "1e308", "-1e-320"]),
)


@st.composite
def _near_numbers(draw: st.DrawFn) -> tuple[str, str]:
    one = draw(_number)
    other = draw(st.one_of(st.just(one), _number))
    return one, other


@st.composite
def _moment(draw: st.DrawFn, near: str = "") -> str:
    day = near[:10] if near and draw(st.booleans()) else f"{draw(st.dates()):%Y-%m-%d}"
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from([day, f" {day}", "infinity", "-infinity", f"{day} BC"]))
    time = f"{draw(st.times()):%H:%M:%S.%f}"
    time = draw(st.sampled_from([time, time[:8], time[:5], time[:10], "24:00:00", "23:59:60", "00:00"]))
    zone = draw(st.sampled_from(["", "", "Z", "+00", "+05:30", "-0830", "-15:59:59", "+14", " UTC", " Europe/Berlin"]))
    return f"{day}{draw(st.sampled_from([' ', 'T']))}{time}{zone}"


@st.composite
def _near_moments(draw: st.DrawFn) -> tuple[str, str]:
    one = draw(_moment())
    return one, draw(_moment(one.strip()))


@st.composite
def _near_uuids(draw: st.DrawFn) -> tuple[str, str]:
    one = draw(st.uuids()).hex
    kept = draw(st.integers(0, 32))
    return one, one[:kept] + draw(st.uuids()).hex[kept:]


_ORDERS: dict[str, tuple[dict[str, Any], Any]] = {
    "numbers": (_NUMBERS, _near_numbers()),
    "moments": (_MOMENTS, _near_moments()),
    "uuids": ({"uuid": TypeOid.UUID}, _near_uuids()),
}


@pytest.mark.parametrize("order", _ORDERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_keys_keep_the_order(connection: _Connection, order: str, data: st.DataObject) -> None:
    types, pairs = _ORDERS[order]
    row_value, value = data.draw(pairs)
    column, sent = data.draw(st.sampled_from(sorted(types))), data.draw(st.sampled_from(sorted(types)))
    row: Any = connection.execute(
        "SELECT (look(%s, %s, %s::regtype, %s::regtype, %s)).*",
        (row_value, value, column, sent, data.draw(st.sampled_from(_ZONES))),
    ).fetchone()
    less, greater, row_text, sent_bytes = row
    if less is None:
        return  # one of them is no value of its type
    assert isinstance(row_text, str)
    assert isinstance(sent_bytes, bytes)
    key = key_of_row_value(types[column], row_text)
    for keys in (
        keys_of_text(types[column], types[sent], value),
        keys_of_binary(types[column], types[sent], sent_bytes),
    ):
        if key is None or keys is None:
            continue
        assert keys.low <= keys.high
        assert not less or _in(key, LOWEST, keys.high)
        assert not greater or _in(key, keys.low, HIGHEST)


def _in(key: int, low: int, high: int) -> bool:
    """Whether a key is found in an interval, by its tags."""
    found = not set(cover(low, high)).isdisjoint(blocks_of(key))
    assert found or not low <= key <= high
    return low <= key <= high


@pytest.mark.parametrize(
    ("column", "value_type", "text"),
    [
        (TypeOid.INT4, TypeOid.INT4, " -7"),
        (TypeOid.NUMERIC, TypeOid.NUMERIC, "12.50"),
        (OrderedOid.FLOAT8, TypeOid.NUMERIC, "1e5"),
        (TypeOid.DATE, TypeOid.DATE, "2024-02-29"),
        (OrderedOid.TIMESTAMP, OrderedOid.TIMESTAMP, "2024-02-29 12:00:00.5"),
        (OrderedOid.TIMESTAMPTZ, OrderedOid.TIMESTAMPTZ, "2024-02-29T12:00:00Z"),
        (TypeOid.UUID, TypeOid.UUID, "A0EEBC999C0B4EF8BB6D6BB9BD380A11"),
    ],
)
def test_ordinary_values_have_one_key(column: int, value_type: int, text: str) -> None:
    """None everywhere would obey the law as well, and so would all keys, and evict everything."""
    keys = keys_of_text(column, value_type, text)
    assert keys is not None
    assert keys.low == keys.high
