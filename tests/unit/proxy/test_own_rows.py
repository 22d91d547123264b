"""What a session wrote keeps it from answers that may rest on the rows that it wrote, and from no others."""

import asyncio
from collections.abc import Callable

import pytest

from services.proxy.session.express import Express
from services.proxy.session.reply_table import ReplyTable
from services.proxy.session.turn_form import TurnForm
from services.shared.pgwire.frontend import Parse, Sync
from tests.unit.proxy.lone_session import LoneSession, prove_fresh
from tests.unit.proxy.test_express import bound, simple, turn

READ = b"SELECT name FROM users WHERE id = $1"
OTHERWISE = b"SELECT name FROM users WHERE name = $1"
JOINED = b"SELECT u.name FROM users u JOIN items i ON i.order_id = u.id WHERE u.id = $1 AND i.order_id = 3"
WRITE = b"UPDATE users SET name = 'x' WHERE id = $1"
REMOVE = b"DELETE FROM users WHERE id = $1"
WRITE_ANY = b"UPDATE users SET name = 'x' WHERE name <> $1"
WRITE_OTHER = b"DELETE FROM items WHERE order_id = $1"

TEXTS = (READ, OTHERWISE, JOINED, WRITE, REMOVE, WRITE_ANY, WRITE_OTHER)

FORMS = ("simple", "extended", "prepared")
Ask = Callable[[bytes, bytes], bytes]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("write", [WRITE, REMOVE])
def test_another_row_is_served_and_the_written_one_is_not_until_it_is_covered(form: str, write: bytes) -> None:
    async def run() -> None:
        session, ask = _prepared(form)
        for value in (b"1", b"7"):
            session.exchange(ask(READ, value))
            assert _is_hit(session, ask(READ, value))
        kept = session.database.statistics.kept
        session.exchange(ask(write, b"1"))
        for _ in range(3):  # the second time it is a ready-made reply
            assert _is_hit(session, ask(READ, b"7"))
            assert not _is_hit(session, ask(READ, b"1"))
        assert session.database.statistics.kept == kept  # what is bound to be evicted
        assert session.database.statistics.forwarded["own_write"] == 3
        prove_fresh(session.database)
        assert _is_hit(session, ask(READ, b"1"))

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_ready_made_reply_of_a_session_that_had_written_nothing_learns_its_rows(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has written another row finds it on the hot path from his second read on, and is still kept from his."""
    looks: list[bytes] = []
    take = Express.take

    def looked(express: Express, data: bytes, form: TurnForm, name: bytes, table: ReplyTable) -> bool:
        looks.append(data)
        return take(express, data, form, name, table)

    monkeypatch.setattr(Express, "take", looked)

    async def run() -> None:
        reader, ask = _prepared(form)
        writer = LoneSession(reader.database)
        asked = ask(READ, b"7")
        reader.exchange(asked)
        assert _is_hit(reader, asked)
        writer.exchange(ask(WRITE, b"1"))
        for looks_expected in (1, 0, 0):
            looks.clear()
            assert _is_hit(writer, asked)
            assert len(looks) == looks_expected
        writer.exchange(ask(WRITE, b"7"))
        assert not _is_hit(writer, asked)
        looks.clear()
        assert _is_hit(reader, asked)
        assert looks == []

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS)
def test_each_write_counts_until_it_is_covered_itself(form: str) -> None:
    async def run() -> None:
        session, ask = _prepared(form)
        for value in (b"1", b"2", b"3"):
            session.exchange(ask(READ, value))
            assert _is_hit(session, ask(READ, value))
        session.exchange(ask(WRITE, b"1"))
        session.exchange(ask(WRITE, b"2"))
        assert [_is_hit(session, ask(READ, value)) for value in (b"1", b"2", b"3")] == [False, False, True]
        prove_fresh(session.database)
        session.exchange(ask(WRITE, b"3"))
        assert [_is_hit(session, ask(READ, value)) for value in (b"1", b"2", b"3")] == [True, True, False]

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("write", "read"),
    [(WRITE, OTHERWISE), (WRITE_ANY, READ), (WRITE_ANY, OTHERWISE), (WRITE, JOINED), (WRITE_OTHER, JOINED)],
)
def test_what_may_be_the_same_row_is_not_served(form: str, write: bytes, read: bytes) -> None:
    """JOINED looks at rows of `users` and of `items`, by one column each, and 3 is what is written of both."""

    async def run() -> None:
        session, ask = _prepared(form)
        session.exchange(ask(read, b"3"))
        assert _is_hit(session, ask(read, b"3"))
        session.exchange(ask(write, b"3"))
        assert not _is_hit(session, ask(read, b"3"))
        prove_fresh(session.database)
        assert _is_hit(session, ask(read, b"3"))

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS)
def test_rows_written_in_a_block_count_from_its_end_on(form: str) -> None:
    async def run() -> None:
        session, ask = _prepared(form)
        for value in (b"1", b"2", b"7"):
            session.exchange(ask(READ, value))
        session.exchange(simple(b"BEGIN"), ask(WRITE, b"1"))
        session.exchange(ask(WRITE, b"2"))
        session.exchange(simple(b"COMMIT"))
        assert [_is_hit(session, ask(READ, value)) for value in (b"1", b"2", b"7")] == [False, False, True]
        session.exchange(simple(b"BEGIN"), ask(WRITE, b"1"))
        session.exchange(ask(WRITE_ANY, b"2"))
        session.exchange(simple(b"COMMIT"))
        assert not _is_hit(session, ask(READ, b"7"))

    asyncio.run(run())


def _prepared(form: str) -> tuple[LoneSession, Ask]:
    """Log in, prepare where that is the form, and return how to ask for a statement with a value."""
    session = LoneSession()
    if form == "simple":
        return session, simple
    if form == "extended":
        return session, lambda text, value: bound(text, b"", value)
    names = {text: b"s%d" % number for number, text in enumerate(TEXTS)}
    session.exchange(turn(*(Parse(name, text) for text, name in names.items()), Sync()))
    return session, lambda text, value: bound(text, names[text], value)


def _is_hit(session: LoneSession, asked: bytes) -> bool:
    sent, came = session.exchange(asked)
    assert came
    return not sent
