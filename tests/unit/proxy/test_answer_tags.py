"""Tags of an answer: the key where it is known for certain, the whole relation where it is not."""

import pytest

from services.proxy.session.answer_tags import answer_tags
from services.proxy.session.names import no_names
from services.proxy.session.requests import Request, read_requests
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse
from services.shared.keyspace.intervals import blocks_of
from services.shared.keyspace.order_keys import key_of_row_value
from services.shared.keyspace.tags import occurrence_tags
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from services.shared.relation import Shape, ShapeColumn, relation_tag, value_tag
from tests.unit.sql.small_catalog import ITEMS, USERS, small_catalog

PUBLIC = NameSpace(("pg_catalog", "public"))
USER_KEY = Shape(USERS.oid, (ShapeColumn("id", 23),))
POINT = "SELECT name FROM users WHERE id = "


def analysed(text: str) -> tuple[Analysis, Lexed]:
    lexed = lex(text)
    analysis = analyse(lexed, small_catalog(), PUBLIC)
    assert analysis.cacheable, analysis.reason
    return analysis, lexed


def read_request(*messages: FrontendMessage) -> Request:
    requests = read_requests(messages, no_names(), None)
    assert requests is not None
    return requests[0][0]


def simple(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    request = read_request(Query(text.encode()))
    found = answer_tags(*analysed(text), request)
    return found.tags, found.shapes


def bound(text: str, value: bytes | None, *, types: tuple[int, ...] = (), binary: bool = False) -> tuple[str, ...]:
    bind = Bind(b"", b"", (1,) if binary else (), (value,), ())
    request = read_request(Parse(b"", text.encode(), types), bind, Execute(b""), Sync())
    return answer_tags(*analysed(text), request).tags


def test_a_point_read_carries_its_key_and_its_shape() -> None:
    tags, shapes = simple(POINT + "7")
    assert tags == occurrence_tags(USER_KEY, (b"7",))
    assert len(tags) == 2
    assert shapes == (USER_KEY.id,)


def test_the_same_value_is_the_same_tag_however_it_is_given() -> None:
    tags = simple(POINT + "7")[0]
    assert simple(POINT + "007")[0] == tags
    assert simple(POINT + "'7'")[0] == tags
    assert bound(POINT + "$1", b"7") == tags
    assert bound(POINT + "$1", b" 7 ") in (tags, (relation_tag(USERS.oid),))
    assert bound(POINT + "$1", b"\0\0\0\7", types=(23,), binary=True) == tags
    assert bound(POINT + "$1", b"\0\0\0\0\0\0\0\7", types=(20,), binary=True) == tags
    assert simple(POINT + "8")[0] != tags


@pytest.mark.parametrize(
    ("value", "types", "binary"),
    [
        (None, (), False),
        (b"not a number", (), False),
        (b"\xff", (), False),
        (b"\0\7", (), True),
        (b"7", (701,), False),  # float8: another equality
        (b"7", (25,), False),
    ],
)
def test_a_value_that_is_not_certain_widens_to_the_relation(
    value: bytes | None, types: tuple[int, ...], binary: bool
) -> None:
    assert bound(POINT + "$1", value, types=types, binary=binary) == (relation_tag(USERS.oid),)


def test_a_parameter_takes_its_type_from_its_declared_neighbour() -> None:
    def tags(*types: int) -> tuple[str, ...]:
        text = "SELECT name FROM users WHERE id IN ($1, $2)"
        bind = Bind(b"", b"", (), (b"7", b"8"), ())
        return answer_tags(
            *analysed(text), read_request(Parse(b"", text.encode(), types), bind, Execute(b""), Sync())
        ).tags

    assert tags() == tags(23, 23) != (relation_tag(USERS.oid),)
    assert tags(23) == tags(23, 705) == (relation_tag(USERS.oid),)


def test_a_read_of_many_rows_carries_the_relation_and_no_shape() -> None:
    assert simple("SELECT name FROM users") == ((relation_tag(USERS.oid),), ())
    tags, shapes = simple("SELECT u.name, i.sku FROM users u JOIN items i ON i.line = u.id")
    assert set(tags) == {relation_tag(USERS.oid), relation_tag(ITEMS.oid)}
    assert shapes == ()


def test_every_tag_belongs_to_a_relation_that_the_answer_names() -> None:
    analysis, lexed = analysed(POINT + "7")
    request = read_request(Query(b""))
    tags = answer_tags(analysis, lexed, request).tags
    assert {int(tag.split(":")[0]) for tag in tags} == set(analysis.relations)


def in_range(text: str, price: str) -> bool:
    """Whether a row of that price evicts the answer."""
    analysis, lexed = analysed(text)
    (rule,) = analysis.tag_rules
    assert rule.shape.ranged is not None
    key = key_of_row_value(rule.shape.ranged.type_oid, price)
    assert key is not None
    rows = {value_tag(rule.shape, (block,)) for block in blocks_of(key)}
    return not rows.isdisjoint(answer_tags(analysis, lexed, read_request(Query(text.encode()))).tags)


@pytest.mark.parametrize(
    ("condition", "inside", "outside"),
    [
        ("id > 5", ("5", "6", "1000000000"), ("4", "-1")),  # whether the bound belongs to it is not told apart
        ("id BETWEEN 5 AND 7", ("5", "6", "7"), ("4", "8")),
        ("id <= 7 AND id > 3 AND 5 <= id", ("5", "7"), ("4", "8")),
        ("id > 7 AND id < 5", (), ("4", "6", "8")),
        ("id > 5.5", ("6",), ("5",)),
    ],
)
def test_an_answer_rests_on_the_rows_of_its_range(
    condition: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    text = f"SELECT id FROM users WHERE {condition}"
    assert [price for price in (*inside, *outside) if in_range(text, price)] == list(inside)


def test_a_bound_that_cannot_be_told_is_no_bound() -> None:
    between = "SELECT id FROM users WHERE id BETWEEN $1 AND 7"
    above = "SELECT id FROM users WHERE id > $1"
    assert bound(between, b"\xff") == bound("SELECT id FROM users WHERE id <= $1", b"7")
    assert bound(between, None) == bound("SELECT id FROM users WHERE id <= $1", b"7")
    assert bound(above, None) == (relation_tag(USERS.oid),)
    assert bound(above, b"7") == bound(above, b"\0\0\0\7", types=(23,), binary=True)
