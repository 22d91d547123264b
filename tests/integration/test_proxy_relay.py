"""What the proxy does not cache it passes on: byte for byte, both ways, whatever it is."""

import threading
from collections.abc import Iterator, Sequence

import psycopg
import pytest

from services.shared.pgwire.frontend import Bind, Execute, Parse, Query, Sync
from services.shared.pgwire.startup import VERSION_3_2
from tests.integration.proxied_postgres import ProxiedPostgres, proxied_postgres
from tests.integration.relay_conversations import CONVERSATIONS, SQL, Step
from tests.integration.wire_client import Answer, WireClient, raw, rows
from tests.servers.postgres_programs import NEWEST, OLDEST
from tests.servers.processes import wait_until

_MIB = 1 << 20


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
def proxied(request: pytest.FixtureRequest) -> Iterator[ProxiedPostgres]:
    """The newest and the oldest Postgres, each behind the proxy."""
    with proxied_postgres(version=request.param, sql=SQL) as started:
        yield started


def _hold(url: str, steps: Sequence[Step], chunk_bytes: int = 0) -> list[bytes]:
    """Hold a conversation; return what the server answered at each step."""
    heard: list[bytes] = []
    with WireClient(url).start() as client:
        for step in steps:
            if chunk_bytes > 0 and len(step.sent) < 10_000:
                for at in range(0, len(step.sent), chunk_bytes):
                    client.send(step.sent[at : at + chunk_bytes])
            else:
                client.send(step.sent)
            heard.append(raw(client.read_until(step.kind, step.count) if step.kind else client.read_to_end()))
    return heard


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_every_byte_of_a_conversation_is_relayed_unchanged(proxied: ProxiedPostgres, name: str) -> None:
    steps = CONVERSATIONS[name]
    direct = _hold(proxied.direct_url, steps)

    assert _hold(proxied.url(), steps) == direct
    assert _hold(proxied.url(), steps) == direct  # now with whatever was kept of the first time


def test_a_conversation_sent_byte_by_byte_is_answered_the_same(proxied: ProxiedPostgres) -> None:
    steps = [step for name in ("named statements", "copying in", "formats") for step in CONVERSATIONS[name]]

    assert _hold(proxied.url(), steps, chunk_bytes=1) == _hold(proxied.direct_url, steps)


@pytest.mark.parametrize("before", ["", "BEGIN"])
def test_an_error_comes_at_once_though_the_end_of_its_turn_does_not(proxied: ProxiedPostgres, before: str) -> None:
    """Postgres carries messages out as they come, and does not keep an error back until a Sync."""
    key = Bind(b"", b"s", (), (b"1",), ()).encode() + Execute(b"").encode()

    def answers(url: str) -> list[bytes | dict[str, str]]:
        with WireClient(url).start() as client:
            client.query("CREATE TEMP TABLE keys (id int PRIMARY KEY)")
            client.turns(Parse(b"s", b"INSERT INTO keys VALUES ($1)"), Sync())
            if before:
                client.query(before)
            client.send(key + key + key)
            until_error = client.read_until("E")
            client.send(key, Sync())
            answered = [*until_error, *client.read_until("Z")]
            named = ("s", "L")  # pg_temp_3 or pg_temp_4; the line in the source
            fields = [{key: text for key, text in each.fields.items() if key not in named} for each in until_error[-1:]]
            return [*fields, *(each.raw for each in answered if each.kind != "E")]

    assert answers(proxied.url()) == answers(proxied.direct_url)


def test_a_session_begins_with_what_postgres_says(proxied: ProxiedPostgres) -> None:
    asked = (("application_name", "greeting"), ("options", "-c datestyle=german"))
    with (
        WireClient(proxied.direct_url).start(parameters=asked) as direct,
        WireClient(proxied.url()).start(parameters=asked) as relayed,
    ):
        assert _without_key(relayed.greeting) == _without_key(direct.greeting)


def test_protocol_3_2_is_negotiated_as_postgres_does(proxied: ProxiedPostgres) -> None:
    option = (("_pq_.unheard_of", "1"),)
    with (
        WireClient(proxied.direct_url).start(VERSION_3_2, option) as direct,
        WireClient(proxied.url()).start(VERSION_3_2, option) as relayed,
    ):
        assert _without_key(relayed.greeting) == _without_key(direct.greeting)
        assert "v" in [answer.kind for answer in relayed.greeting]
        key, direct_key = (_message(client.greeting, "K") for client in (relayed, direct))
        assert len(key.raw) == len(direct_key.raw)
        assert raw(relayed.query("SELECT 1")) == raw(direct.query("SELECT 1"))


@pytest.mark.parametrize("sslmode", ["disable", "allow", "prefer"])
def test_a_client_that_does_not_insist_on_encryption_gets_in(proxied: ProxiedPostgres, sslmode: str) -> None:
    with psycopg.connect(proxied.url(), sslmode=sslmode, gssencmode="disable") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_notifications_arrive_during_queries_and_while_idle(proxied: ProxiedPostgres) -> None:
    with proxied.connect() as listener, proxied.connect() as notifier, proxied.server.connect() as direct:
        listener.execute("LISTEN news")
        notifier.execute("NOTIFY news, 'through the proxy'")
        direct.execute("NOTIFY news, 'from elsewhere'")
        idle = [note.payload for note in listener.notifies(timeout=10, stop_after=2)]
        listener.execute("NOTIFY news, 'own'")
        own = [note.payload for note in listener.notifies(timeout=10, stop_after=1)]

    assert idle == ["through the proxy", "from elsewhere"]
    assert own == ["own"]


def test_a_cancel_request_stops_the_query(proxied: ProxiedPostgres) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
    with proxied.wire() as client, WireClient(proxied.url()) as canceller:
        key = _message(client.greeting, "K").body
        client.send(Query(b"SELECT pg_sleep(60)"))
        wait_until(lambda: proxied.server.execute(running), "the query to run")
        canceller.send(b"\0\0\0\x10\x04\xd2\x16\x2e" + key)
        assert canceller.read_to_end() == []  # Postgres answers by closing

        answers = client.read_until("Z")
        assert _message(answers, "E").fields["C"] == "57014"
        assert rows(client.query("SELECT 1")) == [[b"1"]]


def test_a_cancel_request_with_a_wrong_key_stops_nothing(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client, WireClient(proxied.url()) as canceller:
        key = _message(client.greeting, "K").body
        client.send(Query(b"SELECT pg_sleep(0.3)"))
        canceller.send(b"\0\0\0\x10\x04\xd2\x16\x2e" + key[:4] + bytes(4))
        canceller.read_to_end()

        assert "E" not in [answer.kind for answer in client.read_until("Z")]


def test_a_replication_connection_is_relayed(proxied: ProxiedPostgres) -> None:
    with WireClient(proxied.url()).start(parameters=(("replication", "database"),)) as client:
        assert rows(client.query("CREATE_REPLICATION_SLOT relayed TEMPORARY LOGICAL test_decoding"))[0][0] == b"relayed"
        client.send(Query(b"START_REPLICATION SLOT relayed LOGICAL 0/0"))
        assert client.read_until("W")
        proxied.server.execute("INSERT INTO numbers VALUES (4242); DELETE FROM numbers WHERE n = 4242")
        received = b""
        while b"DELETE" not in received:
            received += client.read().raw

    assert b"table public.numbers: INSERT: n[integer]:4242" in received


def test_identify_system_answers_as_without_the_proxy(proxied: ProxiedPostgres) -> None:
    parameters = (("replication", "true"),)
    with (
        WireClient(proxied.direct_url).start(parameters=parameters) as direct,
        WireClient(proxied.url()).start(parameters=parameters) as relayed,
    ):
        expected, got = (rows(client.query("IDENTIFY_SYSTEM"))[0][:2] for client in (direct, relayed))

    assert got == expected


_AUTHENTICATION = {"trust": "trust", "password": "password", "md5": "md5", "scram": "scram-sha-256"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[ProxiedPostgres]:
    """A server with one role for each way to authenticate; the proxy's own role comes in by SCRAM as well."""
    with proxied_postgres(sql=SQL) as started:
        encryption = {"md5": "md5"}
        for name in _AUTHENTICATION:
            started.server.execute(
                f"SET password_encryption = '{encryption.get(name, 'scram-sha-256')}'; "
                f"CREATE ROLE by_{name} LOGIN PASSWORD 'secret {name}'"
            )
        lines = [f"host all by_{name} 127.0.0.1/32 {method}" for name, method in _AUTHENTICATION.items()]
        started.server.allow(
            *lines, "host all postgres 127.0.0.1/32 trust", "host replication postgres 127.0.0.1/32 trust"
        )
        yield started


@pytest.mark.parametrize("name", _AUTHENTICATION)
def test_the_same_user_and_password_work_with_only_the_port_changed(guarded: ProxiedPostgres, name: str) -> None:
    with psycopg.connect(guarded.url(f"by_{name}", f"secret {name}"), autocommit=True) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (f"by_{name}",)
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["password", "md5", "scram"])
def test_a_wrong_password_gets_the_error_of_postgres(guarded: ProxiedPostgres, name: str) -> None:
    errors: list[str] = []
    for url in (guarded.server.url(user=f"by_{name}", password="wrong"), guarded.url(f"by_{name}", "wrong")):
        with pytest.raises(psycopg.OperationalError) as refused:
            psycopg.connect(url, sslmode="disable")  # libpq tries again without TLS where the first try had it
        errors.append(str(refused.value).partition("FATAL")[2])

    assert errors[0] == errors[1]
    assert "password authentication failed" in errors[0]


def test_a_role_or_database_that_is_not_there_gets_the_error_of_postgres(guarded: ProxiedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        psycopg.connect(guarded.url("nobody", "x"))
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        psycopg.connect(guarded.url(database="nowhere"))


_LONG_ANSWER = b"SELECT repeat('x', 10000) FROM generate_series(1, 20000)"  # 200 MB
_LONG_CACHEABLE = b"SELECT repeat(a.name, 300), b.id FROM items a CROSS JOIN items b CROSS JOIN items c LIMIT 100000"


@pytest.mark.parametrize("sql", [_LONG_ANSWER, _LONG_CACHEABLE])
def test_a_long_answer_streams_and_the_proxy_stays_small(proxied: ProxiedPostgres, sql: bytes) -> None:
    with proxied.wire() as client:
        before = most = proxied.proxy_memory()
        client.send(Query(sql))
        received, tail = 0, b""
        while not tail.endswith(b"Z\0\0\0\x05I"):
            data = client.socket.recv(4 * _MIB)
            received += len(data)
            tail = (tail + data)[-6:]
            most = max(most, proxied.proxy_memory())

    assert received > 150_000_000
    assert most - before < 32 * _MIB


def test_a_client_that_never_reads_does_not_grow_the_proxy(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client, proxied.connect() as other:
        before = proxied.proxy_memory()
        client.send(Query(_LONG_ANSWER))
        _wait_blocked(proxied, "repeat('x', 10000)")

        assert proxied.proxy_memory() - before < 32 * _MIB
        assert other.execute("SELECT 1").fetchone() == (1,)  # nobody else waits


def test_ten_thousand_queries_sent_ahead_do_not_grow_the_proxy(proxied: ProxiedPostgres) -> None:
    with proxied.wire() as client:
        assert _grown_by_turns_ahead(proxied, client, Query(b"SELECT repeat('x', 20000)").encode(), 10_000) < 48 * _MIB


def test_hits_asked_ahead_do_not_grow_the_proxy(proxied: ProxiedPostgres) -> None:
    """Thirty bytes ask for a hundred thousand: one read from the socket holds thousands of such turns."""
    turn = Bind(b"", b"s", (), (), ()).encode() + Execute(b"").encode() + Sync().encode()
    with proxied.wire() as client:
        client.turns(Parse(b"s", b"SELECT body FROM documents WHERE id = 1"), Sync())

        def run() -> None:
            client.send(turn)
            client.read_until("Z")

        proxied.wait_cached(run)
        hits = proxied.hits()

        assert _grown_by_turns_ahead(proxied, client, turn, 2_000) < 48 * _MIB
        assert proxied.hits() - hits > 1_000


def test_a_pipeline_of_hits_in_one_turn_does_not_grow_the_proxy(proxied: ProxiedPostgres) -> None:
    read = Bind(b"", b"s", (), (), ()).encode() + Execute(b"").encode()
    with proxied.wire() as client:
        client.turns(Parse(b"s", b"SELECT body FROM documents WHERE id = 1"), Sync())

        def run() -> None:
            client.send(read, Sync())
            client.read_until("Z")

        proxied.wait_all_cached(run, 3)
        before, hits = proxied.proxy_memory(), proxied.hits()
        client.send(read * 2_000 + Sync().encode())

        assert _settled_memory(proxied) - before < 48 * _MIB
        answers = client.read_until("Z")
        assert [answer.kind for answer in answers] == ["2", "D", "C"] * 2_000 + ["Z"]
        assert proxied.hits() - hits > 1_900


def _grown_by_turns_ahead(proxied: ProxiedPostgres, client: WireClient, turn: bytes, turns: int) -> int:
    """Send turns without reading until nothing goes any more; return the proxy's growth; then read every answer."""
    before = proxied.proxy_memory()
    client.socket.setblocking(False)
    left = _send_until_stuck(client, memoryview(turn * turns))
    grown = _settled_memory(proxied) - before
    client.socket.settimeout(20)
    sender = threading.Thread(target=client.send, args=(left.tobytes(),))
    sender.start()
    kinds = {client.read_until("Z")[-2].kind for _ in range(turns)}
    sender.join()
    assert kinds == {"C"}
    return grown


def _settled_memory(proxied: ProxiedPostgres) -> int:
    """Return the proxy's memory once it has not changed for half a second."""
    last, seen = 0, 0

    def settled() -> bool:
        nonlocal last, seen
        memory = proxied.proxy_memory()
        seen = seen + 1 if memory == last else 0
        last = memory
        return seen > 100

    wait_until(settled, "the proxy to come to rest", 20)
    return last


def _send_until_stuck(client: WireClient, data: memoryview) -> memoryview:
    """Send until the peer takes no more for half a second, or has taken it all. Returns what is left."""
    polls_in_vain = 0

    def stuck() -> bool:
        nonlocal data, polls_in_vain
        try:
            data = data[client.socket.send(data) :]
            polls_in_vain = 0
        except BlockingIOError:
            polls_in_vain += 1
        return not data or polls_in_vain > 100

    wait_until(stuck, "the proxy to stop reading", 20)
    return data


def _wait_blocked(proxied: ProxiedPostgres, text: str) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE query LIKE %s AND wait_event = 'ClientWrite'"
    wait_until(lambda: proxied.server.execute(waiting, [f"%{text}%"]), "Postgres to wait for the client", 20)


def _message(answers: Sequence[Answer], kind: str) -> Answer:
    (found,) = [answer for answer in answers if answer.kind == kind]
    return found


def _without_key(answers: Sequence[Answer]) -> bytes:
    return raw([answer for answer in answers if answer.kind != "K"])
