"""Cells, bucket state and feed items as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.keyspace.cells import join_lsns, join_positions, split_lsns, split_positions
from services.shared.keyspace.feed import FeedKind, decode_item
from services.shared.keyspace.keys import Keys
from services.shared.keyspace.state import absent_bucket, bucket_epoch_text, parse_state, stream_epoch_of
from services.shared.lsn import Lsn
from services.shared.position import Position

_numbers = st.integers(0, 2**64 - 1)
_positions = st.builds(Position, _numbers.map(Lsn), _numbers)


@given(st.lists(_positions, max_size=4).map(tuple))
def test_positions_survive_their_cells(positions: tuple[Position, ...]) -> None:
    joined = join_positions(positions)
    assert split_positions(joined) == split_positions(joined.encode()) == positions


@given(_positions, _positions)
def test_positions_compare_as_their_texts(one: Position, other: Position) -> None:
    assert (one < other) == (str(one) < str(other))


@given(st.lists(_numbers.map(Lsn), max_size=4).map(tuple))
def test_lsns_survive_their_cells(lsns: tuple[Lsn, ...]) -> None:
    joined = join_lsns(lsns)
    assert split_lsns(joined) == split_lsns(joined.encode()) == lsns


def test_a_bucket_epoch_shows_its_stream_epoch() -> None:
    assert stream_epoch_of(bucket_epoch_text("1/2/3/c#x/5/6", "nonce")) == "1/2/3/c#x/5/6"
    assert stream_epoch_of("") == ""


def test_an_absent_bucket_covers_nothing() -> None:
    state = absent_bucket(2)
    assert parse_state({}, 2) == state
    assert (state.bucket_epoch, state.stream_epoch, state.watermark, len(state.positions)) == ("", "", 0, 2)


def test_a_bucket_with_a_field_missing_is_none() -> None:
    with pytest.raises(ValueError, match="no field"):
        parse_state({b"epoch": b"e#n"}, 1)


def test_a_feed_item_with_a_field_missing_is_none() -> None:
    with pytest.raises(ValueError, match="no field"):
        decode_item(0, b"1-1", {b"kind": b"evict"})


def test_a_feed_item_of_an_unknown_kind_is_none() -> None:
    with pytest.raises(ValueError, match="future"):
        decode_item(0, b"1-1", {b"kind": b"future"})


def test_what_an_item_does_not_carry_is_empty() -> None:
    fields = {b"kind": b"advance", b"prev": str(Position(Lsn(1), 0)).encode(), b"epoch": b"e", b"registry": b"v"}
    item = decode_item(3, b"1-1", fields)
    assert (item.kind, item.partition, item.position) == (FeedKind.ADVANCE, 3, Position(Lsn(1), 1))
    assert (item.tags, item.relations, item.watermark, item.publication_entry) == ((), (), 0, None)


def test_keys_share_a_hash_tag_and_a_format() -> None:
    keys = Keys("shop")
    names = [keys.meta, keys.shapes, keys.followed, keys.relation_evictions, keys.tag_evictions(1), keys.feed(0)]
    names += [keys.index("5:*"), keys.entry(b"\x00\xff")]
    assert all(name.startswith("tidegate:{shop}:1:") for name in names)
    assert len(set(names)) == len(names)
    assert keys.tag_of_index(keys.index("5:ab:*")) == "5:ab:*"
