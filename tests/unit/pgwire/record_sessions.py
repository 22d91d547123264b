"""Records real sessions between drivers and a real Postgres, byte for byte, for the codec's tests.

    python -m tests.unit.pgwire.record_sessions

writes `sessions/NAME.frontend.bin` and `sessions/NAME.backend.bin` anew. A frontend recording starts with the start-up
packet. The servers and their roles live for this run only, so nothing recorded is worth hiding.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg

from services.shared.pgwire.frontend import (
    TERMINATE,
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    FunctionCall,
    Parse,
    Sync,
    Target,
)
from services.shared.pgwire.startup import ProtocolVersion, StartupMessage
from tests.servers.postgres import PostgresServer

SESSIONS = Path(__file__).parent / "sessions"
_SCRAM_ROLE = "keeper"
_DEADLINE_SECONDS = 10.0
_ABS_INT4 = 1397  # OID of abs(integer)


class Tap:
    """Stands between one client connection and the server, and keeps both streams."""

    def __init__(self, port: int) -> None:
        self._upstream_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.frontend = bytearray()
        self.backend = bytearray()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._listener:
            client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._upstream_port)) as server:
            upward = threading.Thread(target=_pump, args=(client, server, self.frontend))
            upward.start()
            _pump(server, client, self.backend)
            upward.join(_DEADLINE_SECONDS)

    def finish(self) -> None:
        """Wait until the session has ended."""
        self._thread.join(_DEADLINE_SECONDS)


def _pump(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            kept += chunk
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _recorded(name: str, server: PostgresServer) -> Iterator[int]:
    tap = Tap(server.port)
    yield tap.port
    tap.finish()
    (SESSIONS / f"{name}.frontend.bin").write_bytes(tap.frontend)
    (SESSIONS / f"{name}.backend.bin").write_bytes(tap.backend)


def _dsn(port: int, user: str = "postgres", more: str = "") -> str:
    return (
        f"host=127.0.0.1 port={port} user={user} dbname=postgres sslmode=disable gssencmode=disable "
        f"application_name=recorder {more}"
    )


def _psycopg_session(port: int) -> None:
    """The extended protocol in text and binary, COPY both ways, a pipeline, errors, notices, notifications."""
    with psycopg.connect(_dsn(port), autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE planet (id int PRIMARY KEY, name text, mass numeric)")
        connection.execute("INSERT INTO planet VALUES (%s, %s, %s), (2, NULL, 0.5)", (1, "Erde ÄÖ", None))
        connection.execute("SELECT * FROM planet WHERE id = %s", (1,), prepare=True).fetchall()
        connection.execute("SELECT * FROM planet", binary=True).fetchall()
        with connection.cursor() as cursor:
            with cursor.copy("COPY planet FROM STDIN") as copy:
                for number in range(10, 200):
                    copy.write_row((number, f"planet {number}", number / 7))
            with cursor.copy("COPY planet TO STDOUT (FORMAT binary)") as copy:
                for _ in copy:
                    pass
        with (
            contextlib.suppress(psycopg.errors.QueryCanceled),
            connection.cursor() as cursor,
            cursor.copy("COPY planet FROM STDIN") as copy,
        ):
            copy.write(b"1000\tx\t1\n")
            raise psycopg.errors.QueryCanceled("given up on purpose")
        with connection.pipeline():
            connection.execute("SELECT 1")
            connection.execute("SELECT generate_series(1, %s)", (300,))
        with contextlib.suppress(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO planet VALUES (1)")
        connection.execute("DO $$ BEGIN RAISE WARNING 'careful' USING HINT = 'look', DETAIL = 'twice'; END $$")
        connection.execute("LISTEN news; NOTIFY news, 'extra'; SET TimeZone = 'Asia/Tokyo'; ")
        connection.execute("")
        with contextlib.suppress(psycopg.errors.SyntaxError):
            connection.execute("BEGIN; SELEC 1")
        connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        connection.execute("ROLLBACK")


def _scram_session(port: int) -> None:
    """SCRAM-SHA-256, and protocol 3.2 with its long cancel key where the server speaks it."""
    dsn = _dsn(port, _SCRAM_ROLE, "password=flood max_protocol_version=3.2")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT current_user")


def _replication_session(port: int) -> None:
    """A walsender: COPY BOTH."""
    with contextlib.closing(psycopg.connect(_dsn(port, more="replication=database"), autocommit=True)) as connection:
        connection.execute("IDENTIFY_SYSTEM")
        connection.execute("CREATE_REPLICATION_SLOT tape TEMPORARY LOGICAL pgoutput")
        with contextlib.suppress(psycopg.ProgrammingError):  # the driver has no name for COPY BOTH
            connection.execute("START_REPLICATION SLOT tape LOGICAL 0/0 (proto_version '1', publication_names 'none')")


def _asyncpg_session(port: int) -> None:
    """Binary results, named statements, a cursor read in parts, and statements closed."""

    async def talk() -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user="postgres", database="postgres", ssl=False, statement_cache_size=2
        )
        await connection.execute("CREATE TEMPORARY TABLE city (id bigint PRIMARY KEY, name text, at timestamptz)")
        await connection.executemany("INSERT INTO city VALUES ($1, $2, now())", [(n, f"city {n}") for n in range(40)])
        for number in range(4):
            await connection.fetch(f"SELECT *, {number} FROM city WHERE id > $1", number)
        async with connection.transaction():
            cursor = await connection.cursor("SELECT * FROM city")
            while await cursor.fetch(16):
                pass
        await connection.reset()
        await connection.close()

    asyncio.run(talk())


def _future_session(port: int) -> None:
    """A client of a protocol that does not exist yet, with options that nobody knows.

    Its messages are written by this codec itself: a fast-path call and a turn that uses every extended message.
    """
    startup = StartupMessage(
        ProtocolVersion(3, 9999), (("user", "postgres"), ("_pq_.tide", "high"), ("_pq_.gate", "shut"))
    )
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(startup.encode())
        client.settimeout(_DEADLINE_SECONDS)
        _read_until_ready(client)
        client.sendall(FunctionCall(_ABS_INT4, (1,), (b"\xff\xff\xff\xf9",), 1).encode())
        _read_until_ready(client)
        turn = (
            Parse(b"", b"SELECT $1, $2", (25, 0)),
            Describe(Target.STATEMENT, b""),
            Bind(b"door", b"", (0,), (b"x", None), (0, 0)),
            Describe(Target.PORTAL, b"door"),
            Execute(b"door", 10),
            Close(Target.PORTAL, b"door"),
            Close(Target.STATEMENT, b""),
            Flush(),
            Sync(),
        )
        client.sendall(b"".join([message.encode() for message in turn]))
        _read_until_ready(client)
        client.sendall(TERMINATE)


def _read_until_ready(client: socket.socket) -> None:
    received = b""
    while not received.endswith((b"Z\0\0\0\5I", b"Z\0\0\0\5E")):
        received += client.recv(65536)


_PLAIN: dict[str, Callable[[int], None]] = {
    "psycopg": _psycopg_session,
    "asyncpg": _asyncpg_session,
    "replication": _replication_session,
    "future": _future_session,
}


def main() -> None:
    """Record every session against the newest Postgres, and the version-dependent ones against the oldest as well."""
    SESSIONS.mkdir(exist_ok=True)
    for version in ("18", "15"):
        with PostgresServer(version) as server:
            for name, session in _PLAIN.items():
                if version == "18" or name == "future":
                    with _recorded(f"{name}-{version}", server) as port:
                        session(port)
            server.execute(f"CREATE ROLE {_SCRAM_ROLE} LOGIN PASSWORD 'flood'")
            server.allow(f"host all {_SCRAM_ROLE} 127.0.0.1/32 scram-sha-256")
            with _recorded(f"scram-{version}", server) as port:
                _scram_session(port)


if __name__ == "__main__":
    main()
