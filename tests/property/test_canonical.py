"""SQL-equal values have the same canonical bytes; Postgres is the oracle.

An eviction that is missed because two spellings of one value came to two tags would leave a stale answer for ever.
"""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.shared.keyspace.canonical import TypeOid, canonical_binary, canonical_text
from tests.servers.postgres import PostgresServer

_FAMILIES = {
    "numbers": {
        "int2": (TypeOid.INT2, "int2send"),
        "int4": (TypeOid.INT4, "int4send"),
        "int8": (TypeOid.INT8, "int8send"),
        "numeric": (TypeOid.NUMERIC, "numeric_send"),
    },
    "booleans": {"bool": (TypeOid.BOOL, "boolsend")},
    "uuids": {"uuid": (TypeOid.UUID, "uuid_send")},
    "texts": {"text": (TypeOid.TEXT, "textsend"), "varchar": (TypeOid.VARCHAR, "varcharsend")},
    "dates": {"date": (TypeOid.DATE, "date_send")},
}

_SET_UP = """
CREATE TYPE seen AS (equal bool, one text, other text, one_bytes bytea, other_bytes bytea);
CREATE FUNCTION look(one text, other text, t1 regtype, t2 regtype, send1 text, send2 text) RETURNS seen
LANGUAGE plpgsql AS $$
DECLARE found seen;
BEGIN
  EXECUTE format('SELECT a = b, a::text, b::text, %s(a), %s(b) FROM (SELECT $1::%s AS a, $2::%s AS b) AS pair',
                 send1, send2, t1, t2) INTO found USING one, other;
  RETURN found;
EXCEPTION WHEN data_exception THEN  -- not a value of the type
  RETURN NULL;
END $$
"""

_number = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-20, 20),
    st.decimals(allow_nan=True, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9),
    st.builds(lambda digits, power: digits * 10**power, st.integers(-99, 99), st.integers(0, 14)),
)


@st.composite
def _spelled_number(draw: st.DrawFn, number: object) -> str:
    text = str(number).lstrip("+")
    sign, digits = ("-", text[1:]) if text.startswith("-") else (draw(st.sampled_from(["", "+"])), text)
    form = draw(st.sampled_from(["plain", "zeros", "point", "exponent", "underscore", "hex"]))
    if form == "zeros":
        digits = "0" * draw(st.integers(1, 3)) + digits
    elif form == "point" and digits.isdigit():
        digits += draw(st.sampled_from([".", ".0", ".000"]))
    elif form == "exponent" and digits.isdigit():
        shift = draw(st.integers(1, 6))
        digits = draw(st.sampled_from([f"{digits}{'0' * shift}e-{shift}", f"{digits}.{'0' * shift}E0"]))
    elif form == "underscore" and len(digits) > 3 and digits.isdigit():
        digits = f"{digits[:-3]}_{digits[-3:]}"
    elif form == "hex" and digits.isdigit():
        digits = hex(int(digits))
    return draw(_padding) + sign + digits + draw(_padding)


_padding = st.sampled_from(["", "", " ", "\t", "\n ", "\u00a0"])


@st.composite
def _number_pair(draw: st.DrawFn) -> tuple[str, str]:
    one = draw(_number)
    other = one if draw(st.booleans()) else draw(_number)
    return draw(_spelled_number(one)), draw(_spelled_number(other))


@st.composite
def _uuid_spelling(draw: st.DrawFn, plain: str) -> str:
    groups = [plain[start : start + 4] for start in range(0, 32, 4)]
    text = "".join(group + draw(st.sampled_from(["", "-"])) for group in groups[:-1]) + groups[-1]
    text = text.upper() if draw(st.booleans()) else text
    return draw(st.sampled_from(["{}", "{{{}}}", " {}", "{{{}"])).format(text)


@st.composite
def _uuid_pair(draw: st.DrawFn) -> tuple[str, str]:
    one = draw(st.uuids()).hex
    other = one if draw(st.booleans()) else draw(st.uuids()).hex
    return draw(_uuid_spelling(one)), draw(_uuid_spelling(other))


@st.composite
def _bool_pair(draw: st.DrawFn) -> tuple[str, str]:
    def spelling() -> str:
        word = draw(st.sampled_from(["true", "false", "yes", "no", "on", "off", "1", "0"]))
        word = word[: draw(st.integers(1, len(word)))]
        return draw(_padding) + (word.upper() if draw(st.booleans()) else word) + draw(_padding)

    return spelling(), spelling()


@st.composite
def _text_pair(draw: st.DrawFn) -> tuple[str, str]:
    letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    one = draw(st.text(letters, max_size=300)) * draw(st.sampled_from([1, 1, 40]))
    other = draw(st.sampled_from([one, one + " ", one.upper(), one[:-1]]))
    return one, other


@st.composite
def _date_pair(draw: st.DrawFn) -> tuple[str, str]:
    one = draw(st.dates())
    other = one if draw(st.booleans()) else draw(st.dates())
    forms = ["{:%Y-%m-%d}", "{:%Y%m%d}", "{:%m/%d/%Y}", "{:%B %d, %Y}", " {:%Y-%m-%d}", "{:%Y-%m-%d} BC", "infinity"]
    return draw(st.sampled_from(forms)).format(one), draw(st.sampled_from(forms)).format(other)


_PAIRS = {
    "numbers": _number_pair(),
    "booleans": _bool_pair(),
    "uuids": _uuid_pair(),
    "texts": _text_pair(),
    "dates": _date_pair(),
}


@pytest.fixture(scope="module", params=["newest", "oldest"])
def connection(request: pytest.FixtureRequest) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    server: PostgresServer = request.getfixturevalue(f"{request.param}_postgres")
    with server.database("canonical") as name, psycopg.connect(server.url(name), autocommit=True) as found:
        found.execute(_SET_UP)
        yield found


@pytest.mark.parametrize("family", _FAMILIES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_sql_equal_values_have_the_same_form(
    connection: "psycopg.Connection[tuple[object, ...]]", family: str, data: st.DataObject
) -> None:
    types = _FAMILIES[family]
    one, other = data.draw(_PAIRS[family])
    type_one, type_other = data.draw(st.sampled_from(sorted(types))), data.draw(st.sampled_from(sorted(types)))
    (oid_one, send_one), (oid_other, send_other) = types[type_one], types[type_other]
    row = connection.execute(
        "SELECT (look(%s, %s, %s::regtype, %s::regtype, %s, %s)).*",
        (one, other, type_one, type_other, send_one, send_other),
    ).fetchone()
    assert row is not None
    equal, one_output, other_output, one_bytes, other_bytes = row
    if equal is None:
        return  # one of them is no value of its type: the statement fails, and no answer exists
    forms_one = _forms(oid_one, one, one_output, one_bytes)
    forms_other = _forms(oid_other, other, other_output, other_bytes)
    assert len(forms_one) <= 1, "input, output and binary format of one value"
    assert len(forms_other) <= 1, "input, output and binary format of one value"
    if equal:
        assert len(forms_one | forms_other) <= 1


def _forms(type_oid: int, given_text: str, output: object, data: object) -> set[bytes]:
    """Every form that one value gets, by whatever way it comes."""
    assert isinstance(output, str)
    assert isinstance(data, bytes)
    forms = (canonical_text(type_oid, given_text), canonical_text(type_oid, output), canonical_binary(type_oid, data))
    return {form for form in forms if form is not None}


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("int4", "-7"),
        ("numeric", "120.50"),
        ("bool", "yes"),
        ("uuid", "A0EEBC999C0B4EF8BB6D6BB9BD380A11"),
        ("text", "ž"),
    ],
)
def test_ordinary_values_do_have_a_form(
    connection: "psycopg.Connection[tuple[object, ...]]", type_name: str, text: str
) -> None:
    """None everywhere would obey the law as well, and evict everything."""
    oid, send = next(types[type_name] for types in _FAMILIES.values() if type_name in types)
    row = connection.execute(
        "SELECT (look(%s, %s, %s::regtype, %s::regtype, %s, %s)).*", (text, text, type_name, type_name, send, send)
    ).fetchone()
    assert row is not None
    forms = [canonical_text(oid, text), canonical_text(oid, str(row[1])), canonical_binary(oid, bytes(row[3]))]  # type: ignore[call-overload]
    assert None not in forms
    assert len(set(forms)) == 1
