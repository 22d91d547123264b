"""Tags of an answer: the key where it is known for certain, the whole relation where it is not."""

import pytest

from services.proxy.session.answer_tags import answer_tags
from services.proxy.session.names import no_names
from services.proxy.session.requests import Request, read_requests
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse
from services.shared.keyspace.tags import occurrence_tags
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from services.shared.relation import Shape, ShapeColumn, relation_tag
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
