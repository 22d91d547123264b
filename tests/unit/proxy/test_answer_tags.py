"""Tags of an answer: the key where it is known for certain, the whole relation where it is not."""

from struct import pack

import pytest

from services.proxy.session.answer_tags import MOST_TAGS, MOST_TAGS_OF_ALL, answer_tags
from services.proxy.session.names import no_names
from services.proxy.session.page_end import page_blocks
from services.proxy.session.requests import Request, read_requests
from services.proxy.session.shown_rows import MOST_ROWS
from services.proxy.sql.claims import ValueRef
from services.proxy.sql.pages import Page
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse
from services.shared.keyspace.canonical import canonical_text
from services.shared.keyspace.intervals import blocks_of
from services.shared.keyspace.order_keys import key_of_row_value
from services.shared.keyspace.tags import entry_tag, occurrence_tags, shape_tag
from services.shared.pgwire.frontend import Bind, Execute, FrontendMessage, Parse, Query, Sync
from services.shared.pgwire.rows import DataRow
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
    found = answer_tags(*analysed(text), request, b"")
    return found.tags, found.shapes


def bound(text: str, value: bytes | None, *, types: tuple[int, ...] = (), binary: bool = False) -> tuple[str, ...]:
    bind = Bind(b"", b"", (1,) if binary else (), (value,), ())
    request = read_request(Parse(b"", text.encode(), types), bind, Execute(b""), Sync())
    return answer_tags(*analysed(text), request, b"").tags


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
        request = read_request(Parse(b"", text.encode(), types), bind, Execute(b""), Sync())
        return answer_tags(*analysed(text), request, b"").tags

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
    tags = answer_tags(analysis, lexed, request, b"").tags
    assert {int(tag.split(":")[0]) for tag in tags} == set(analysis.relations)


def in_range(text: str, price: str) -> bool:
    """Whether a row of that price evicts the answer."""
    analysis, lexed = analysed(text)
    (rule,) = analysis.tag_rules
    assert rule.shape.ranged is not None
    key = key_of_row_value(rule.shape.ranged.type_oid, price)
    assert key is not None
    rows = {value_tag(rule.shape, (block,)) for block in blocks_of(key)}
    return not rows.isdisjoint(answer_tags(analysis, lexed, read_request(Query(text.encode())), b"").tags)


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


BY_NAME = Shape(USERS.oid, (ShapeColumn("name", 25),))


def shown(text: str, *rows: tuple[bytes | None, ...], formats: tuple[int, ...] = ()) -> tuple[str, ...]:
    """Return the tags of an answer with these rows."""
    bind = Bind(b"", b"", (), (), formats)
    request = read_request(Parse(b"", text.encode(), ()), bind, Execute(b""), Sync())
    answer = b"".join(DataRow(row).encode() for row in rows)
    return answer_tags(*analysed(text), request, answer).tags


def of_rows(*keys: int) -> set[str]:
    forms = [canonical_text(23, str(key)) for key in keys]
    of_keys = {value_tag(USER_KEY, (form,)) for form in forms if form is not None}
    return {value_tag(BY_NAME, (b"ann",)), entry_tag(BY_NAME), shape_tag(USER_KEY), *of_keys}


ANY_NAMED = set(occurrence_tags(BY_NAME, (b"ann",)))


@pytest.mark.parametrize(
    ("what", "row"),
    [
        ("id, name", (b"7", b"ann")),
        ("name, id AS n", (b"ann", b"7")),
        ("upper(name), u.id", (b"ANN", b"7")),
        ("DISTINCT u.id, 1", (b"7", b"1")),
    ],
)
def test_an_answer_that_shows_its_keys_rests_on_these_rows(what: str, row: tuple[bytes, ...]) -> None:
    assert set(shown(f"SELECT {what} FROM users u WHERE name = 'ann' LIMIT 5", row)) == of_rows(7)


@pytest.mark.parametrize("star", ["*", "u.*"])
def test_a_star_shows_the_key(star: str) -> None:
    place = [column.name for column in USERS.columns].index("id")
    row: list[bytes | None] = [None] * len(USERS.columns)
    row[place] = b"7"
    other = [*row[:place], b"8", *row[place + 1 :]]
    text = f"SELECT {star} FROM users u WHERE name = 'ann'"
    assert set(shown(text, tuple(row), tuple(other))) == of_rows(7, 8)
    assert set(shown(text, (*row, b"more"))) == ANY_NAMED  # a column has been added, so the key may be elsewhere


def test_a_key_in_binary_format_is_shown_too() -> None:
    text = "SELECT name, id FROM users WHERE name = 'ann'"
    assert set(shown(text, (b"ann", b"\0\0\0\7"), formats=(1,))) == of_rows(7)
    assert set(shown(text, (b"ann", b"\0\0\0\7"), formats=(0, 1))) == of_rows(7)


@pytest.mark.parametrize("row", [(None, b"ann"), (b"?", b"ann"), (b"7",)])
def test_a_key_that_cannot_be_told_is_not_shown(row: tuple[bytes | None, ...]) -> None:
    assert set(shown("SELECT id, name FROM users WHERE name = 'ann'", row)) == ANY_NAMED


@pytest.mark.parametrize(("offset", "shows"), [("0", True), ("1", False), ("'0'", True), ("NULL", False)])
def test_an_answer_that_skips_rows_does_not_show_them(offset: str, shows: bool) -> None:
    tags = set(shown(f"SELECT id FROM users WHERE name = 'ann' LIMIT 5 OFFSET {offset}", (b"7",)))
    assert tags == (of_rows(7) if shows else ANY_NAMED)


@pytest.mark.parametrize(("offset", "shows"), [(b"0", True), (b"1", False), (b"-0", False), (None, False)])
def test_how_many_rows_are_skipped_may_be_a_parameter(offset: bytes | None, shows: bool) -> None:
    text = "SELECT id FROM users WHERE name = 'ann' LIMIT 5 OFFSET $1"
    request = read_request(Parse(b"", text.encode(), ()), Bind(b"", b"", (), (offset,), ()), Execute(b""), Sync())
    tags = set(answer_tags(*analysed(text), request, DataRow((b"7",)).encode()).tags)
    assert tags == (of_rows(7) if shows else ANY_NAMED)


def test_an_answer_of_many_rows_rests_on_the_shape() -> None:
    rows = [(str(number).encode(),) for number in range(MOST_ROWS + 1)]
    text = "SELECT id FROM users WHERE name = 'ann'"
    assert set(shown(text, *rows)) == ANY_NAMED
    assert set(shown(text, *rows[1:])) == of_rows(*range(1, MOST_ROWS + 1))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM users WHERE name = 'ann'",
        "SELECT id FROM users WHERE name = 'ann' OFFSET 0 + 0",
        "SELECT id FROM users WHERE name = 'ann' AND id > (SELECT 1 OFFSET 0)",
        "SELECT id, rank() OVER (ORDER BY id) FROM users WHERE name = 'ann'",
        "SELECT id + 0 FROM users WHERE name = 'ann'",
        "SELECT id FROM users WHERE name = 'ann' UNION SELECT 7",
        "SELECT (SELECT u.id FROM users u WHERE u.name = 'ann') FROM items i",
        "SELECT i.line FROM items i WHERE EXISTS (SELECT u.id FROM users u WHERE u.name = 'ann')",
        "SELECT s.id FROM (SELECT u.id FROM users u WHERE u.name = 'ann' OFFSET 1) s",
        "SELECT u.id FROM items i LEFT JOIN users u ON u.id = i.line AND u.name = 'ann'",
        "SELECT u.id FROM users u FULL JOIN items i ON u.id = i.line WHERE u.name = 'ann'",
        "SELECT max(id) FROM users WHERE name = 'ann'",
    ],
)
def test_what_does_not_show_every_row(text: str) -> None:
    (rule,) = (rule for rule in analysed(text)[0].tag_rules if rule.shape.relation == USERS.oid)
    assert rule.key is None


def test_another_occurrence_of_the_table_may_show_a_key() -> None:
    found = analysed("SELECT y.id FROM users x JOIN users y ON x.id > y.id WHERE x.name = 'ann' AND y.name = 'ann'")[0]
    assert [rule.key for rule in found.tag_rules] == [None, None]


def test_an_answer_of_very_many_tags_rests_on_its_relations() -> None:
    occurrences = MOST_TAGS_OF_ALL // MOST_TAGS + 1
    lists = [", ".join(str(n * MOST_TAGS + m) for m in range(MOST_TAGS)) for n in range(occurrences)]
    reads = [f"SELECT name FROM users WHERE id IN ({values})" for values in lists]
    assert len(simple(" UNION ".join(reads[:2]))[0]) == 2 * MOST_TAGS + 1
    assert simple(" UNION ".join(reads)) == ((relation_tag(USERS.oid),), ())


BY_NAME_AND_ID = Shape(USERS.oid, (ShapeColumn("name", 25),), ranged=ShapeColumn("id", 23))


def on_page(key: int, tags: tuple[str, ...]) -> bool:
    """Whether a row of that key evicts a page of rows of a name."""
    order_key = key_of_row_value(23, str(key))
    assert order_key is not None
    row = {value_tag(BY_NAME_AND_ID, (b"ann", block)) for block in blocks_of(order_key)}
    return not row.isdisjoint(tags)


@pytest.mark.parametrize(
    ("order", "ids", "inside", "outside"),
    [
        ("id LIMIT 2", (3, 5), (-9, 4, 5), (6, 1000)),
        ("id DESC LIMIT 2", (5, 3), (3, 4, 1000), (2, -9)),
        ("id LIMIT 2", (3,), (), ()),  # not full: any further row would be on it
        ("id LIMIT 0", (), (), ()),
    ],
)
def test_rows_behind_a_full_page_do_not_matter(
    order: str, ids: tuple[int, ...], inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    text = f"SELECT name, id FROM users WHERE name = 'ann' ORDER BY {order}"
    tags = shown(text, *((b"ann", str(key).encode()) for key in ids))
    assert [key for key in (*inside, *outside) if on_page(key, tags)] == list(inside)
    is_page = bool(inside)
    assert is_page == (value_tag(BY_NAME, (b"ann",)) not in tags)


@pytest.mark.parametrize(
    ("limit", "types", "binary", "is_page"),
    [
        (b"2", (), False, True),
        (b" 2", (), False, False),
        (b"3", (), False, False),
        (b"\0\0\0\0\0\0\0\2", (), True, True),
        (b"\0\0\0\2", (23,), True, True),
        (b"\0\0\0\2", (), True, False),
        (b"\0\1\0\0\0\0\0\0\0\2", (1700,), True, False),
        (None, (), False, False),
    ],
)
def test_how_many_rows_a_full_page_has(
    limit: bytes | None, types: tuple[int, ...], binary: bool, is_page: bool
) -> None:
    text = "SELECT name, id FROM users WHERE name = 'ann' ORDER BY id LIMIT $1"
    bind = Bind(b"", b"", (1,) if binary else (), (limit,), ())
    request = read_request(Parse(b"", text.encode(), types), bind, Execute(b""), Sync())
    rows = b"".join(DataRow((b"ann", key)).encode() for key in (b"3", b"5"))
    assert on_page(4, answer_tags(*analysed(text), request, rows).tags) == is_page


@pytest.mark.parametrize(("formats", "value"), [((), b"1"), ((0,), b"1.23456"), ((1,), pack(">d", 1.23456))])
def test_a_double_tells_the_end_of_a_page_only_in_binary_format(formats: tuple[int, ...], value: bytes) -> None:
    """As a text it may be rounded: with `extra_float_digits = -15`, 1.23456 is `1`, and 1.22 would be behind it."""
    text = "SELECT f FROM t ORDER BY f LIMIT 1"
    page = Page(ShapeColumn("f", 701), 0, 1, False, ValueRef("literal", 0))
    request = read_request(Parse(b"", text.encode(), ()), Bind(b"", b"", (), (), formats), Execute(b""), Sync())
    assert (page_blocks(page, lex(text), request, DataRow((value,)).encode()) is not None) == (formats == (1,))
