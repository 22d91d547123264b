"""Any event that can be made is read back as it was."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.changes import Changes, RowChange
from schemas.encoding import Event, SchemaError, decode, encode
from schemas.fields import HashedValue

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # Postgres sends no lone surrogates
VALUE = st.none() | TEXT | st.builds(HashedValue, length=st.integers(0, 2**30), sha256=st.just("0f" * 32))
ROW = st.none() | st.dictionaries(TEXT, VALUE, max_size=4)
LSN = st.integers(0, 2**64 - 1).map(lambda lsn: f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}")
CHANGE = st.builds(
    RowChange, op=st.sampled_from(["insert", "update", "delete"]), key=ROW, changed=st.lists(TEXT), old=ROW, new=ROW
)


def _make(**fields: Any) -> Changes:  # hides the signature, whose alias hypothesis would fill as well
    return Changes(**fields)


CHANGES = st.builds(
    _make,
    kind=st.just("changes"),
    schema_name=TEXT,
    table=TEXT,
    commit_lsn=LSN,
    xid=st.integers(0, 2**64 - 1),
    commit_time=st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 1)),  # noqa: DTZ001 - hypothesis wants it naive
    rows=st.lists(CHANGE, max_size=3),
    part=st.integers(0, 2**31),
    last=st.booleans(),
    relation=st.integers(0, 2**32 - 1),
    identity=st.sampled_from(["default", "index", "full", "nothing"]),
    key_columns=st.lists(TEXT, max_size=3),
    end_lsn=LSN,
    cache=TEXT.filter(bool),
    epoch=st.just("1/1/00000001/canary/slot/log"),
    incarnation=LSN,
    k=st.integers(0, 2**63),
    version=st.just(1),
)


@given(CHANGES)
def test_round_trip(event: Event) -> None:
    assert decode(encode(event)) == event


@given(st.binary(max_size=200))
def test_decoding_anything_raises_nothing_undocumented(data: bytes) -> None:
    with suppress(SchemaError):
        decode(data)
