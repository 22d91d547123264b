"""The replication connection: the only file that touches COPY BOTH.

psycopg connects and runs the commands before the stream; the stream itself goes through its low-level `PGconn`, which
neither blocks nor waits: whoever reads asks to be told when there is something to read, and takes what is there.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import pq

from services.cdc.control import CONNECT_SECONDS, SESSION_SETTINGS
from services.cdc.errors import SetupError
from services.cdc.replication.errors import ReplicationError, SlotBusyError, SlotUnusableError
from services.cdc.replication.frames import Frame, decode_frame, encode_status
from services.shared.lsn import Lsn
from services.shared.runtime.upstream import Upstream

VALUE_SETTINGS = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "timezone": "UTC",
}
"""What decides how values look as text. Set for the session, so that no role or database says otherwise."""

_PROTOCOL_BY_VERSION = ((16, 4), (15, 3), (14, 2))  # major version of the server, protocol of its pgoutput

SENDER_TIMEOUT_SECONDS = 10
"""After so long without a word from us Postgres frees the slot, so that another instance can go on: one that is frozen
would keep it for `wal_sender_timeout`, a minute by default. A shorter one of the server's stays."""

_SET_SENDER_TIMEOUT = """
    SELECT set_config(name, least(nullif(setting::int, 0), {})::text, false)
    FROM pg_settings WHERE name = 'wal_sender_timeout'
"""

_SLOT_IN_USE = "55006"
_SLOT_EXISTS = "42710"
_NO_MORE_SLOTS = "53400"
_UNUSABLE = frozenset(
    {
        "42704",  # the publication did not exist yet where the slot stands
        "55000",  # invalidated, or its WAL was removed
        "58P01",  # a WAL file is missing
    }
)
_NO_RIGHT = frozenset({"42501", "28000"})


def stream_options(version: int, publication: str) -> dict[str, str]:
    """Return what pgoutput is told.

    Args:
        version: Major version of the server.
        publication: Name of the publication, which holds no quotation mark.
    """
    protocol = next(protocol for since, protocol in _PROTOCOL_BY_VERSION if version >= since)
    return {
        "proto_version": str(protocol),
        "publication_names": f'"{publication}"',
        "messages": "true",
        "streaming": "on",
    }


class ReplicationConnection:
    """A walsender of one database. Its methods raise `ReplicationError`."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = None  # a duplicate of the socket's
        self._watching = False

    @classmethod
    async def open(cls, upstream: Upstream, application_name: str) -> "ReplicationConnection":
        """Connect.

        Raises:
            SetupError: Our role may not replicate.
            ReplicationError: There is no server, or it does not let us in.
        """
        settings = SESSION_SETTINGS | VALUE_SETTINGS
        options = [dict(upstream.parameters).get("options", "")]
        options += [f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items()]
        try:
            connection = await psycopg.AsyncConnection.connect(
                upstream.url,
                autocommit=True,
                replication="database",
                prepare_threshold=None,  # a walsender prepares nothing
                application_name=application_name,
                connect_timeout=int(CONNECT_SECONDS),
                options=" ".join(options).strip(),
            )
        except psycopg.Error as error:
            raise _translate(error.sqlstate, str(error)) from error
        return cls(connection)

    @property
    def version(self) -> int:
        """Major version of the server."""
        return self._pgconn.server_version // 10000

    async def query(self, sql: str) -> list[tuple[str, ...]]:
        """Run a command or a simple query, before the stream is started.

        Cancel-safe: yes; Postgres is asked to cancel it.
        """
        try:
            cursor = await self._connection.execute(sql.encode())
            rows = await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _translate(error.sqlstate, str(error)) from error
        return [tuple(str(value) for value in row) for row in rows]

    async def start(self, slot: str, publication: str) -> None:
        """Start the stream where the slot was confirmed."""
        await self.query(_SET_SENDER_TIMEOUT.format(SENDER_TIMEOUT_SECONDS * 1000))
        options = ", ".join(f"{name} '{value}'" for name, value in stream_options(self.version, publication).items())
        try:
            self._pgconn.send_query(f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0 ({options})'.encode())
            while self._pgconn.flush():
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            while self._pgconn.is_busy():
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
                self._pgconn.consume_input()
            result = self._pgconn.get_result()
        except psycopg.Error as error:
            raise _translate(error.sqlstate, str(error)) from error
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            raise _failure(result)

    def receive(self, limit: int) -> tuple[list[Frame], bool]:
        """Take the frames that have arrived.

        Args:
            limit: How many at most.

        Returns:
            The frames, and whether more may be there already: then do not wait for the socket.

        Raises:
            ReplicationError: The stream has ended, or holds what a walsender does not send.
        """
        frames: list[Frame] = []
        get_copy_data = self._pgconn.get_copy_data
        try:
            self._pgconn.consume_input()
            for _ in range(limit):
                size, data = get_copy_data(1)
                if size < 0:
                    raise _failure(self._pgconn.get_result())
                if not size:
                    return frames, False
                frames.append(decode_frame(data))
        except psycopg.Error as error:
            raise _translate(error.sqlstate, str(error)) from error
        return frames, True

    def watch(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once when there is something to read.

        The loop watches a descriptor of our own: libpq closes the socket as soon as it sees the server's end, whoever
        calls it, and its number may belong to another connection before the loop has heard of it.

        Raises:
            ReplicationError: The connection is gone already.
        """
        if self._descriptor is None:
            try:
                self._descriptor = os.dup(self._pgconn.socket)
            except psycopg.Error as error:
                raise _translate(error.sqlstate, str(error)) from error
        if not self._watching:
            self._watching = True
            self._loop.add_reader(self._descriptor, self._readable, wake)

    def send_status(self, confirmed: Lsn, reply_requested: bool) -> None:
        """Tell Postgres what it may forget, and perhaps ask it for a keepalive."""
        try:
            self._pgconn.put_copy_data(encode_status(confirmed, reply_requested))
            self._pgconn.flush()
        except psycopg.Error as error:
            raise _translate(error.sqlstate, str(error)) from error

    async def close(self) -> None:
        """Give the connection up."""
        self._unwatch()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        await self._connection.close()

    def _readable(self, wake: Callable[[], None]) -> None:
        self._unwatch()
        wake()

    def _unwatch(self) -> None:
        if self._watching and self._descriptor is not None:
            self._watching = False
            self._loop.remove_reader(self._descriptor)

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        """Wait until the socket is ready."""
        ready, socket = self._loop.create_future(), self._pgconn.socket
        add(socket, _settle, ready)
        try:
            await ready
        finally:
            remove(socket)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _failure(result: "pq.abc.PGresult | None") -> Exception:
    """Say what ended the stream."""
    if result is None or result.status == pq.ExecStatus.COMMAND_OK:
        return ReplicationError("the server ended the stream")
    sqlstate = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    return _translate(sqlstate.decode(), result.error_message.decode(errors="replace"))


def _translate(sqlstate: str | None, message: str) -> Exception:
    """Turn an error of the replication connection into ours."""
    text = " ".join(message.split())
    if sqlstate in (_SLOT_IN_USE, _SLOT_EXISTS):
        return SlotBusyError(text)
    if sqlstate in _UNUSABLE:
        return SlotUnusableError(text)
    if sqlstate == _NO_MORE_SLOTS:
        return SetupError(f"{text}; raise max_replication_slots (and max_wal_senders), or drop slots that nobody uses")
    if sqlstate in _NO_RIGHT and "authentication" not in text:
        return SetupError(f"{text}; let our role replicate: ALTER ROLE … REPLICATION")
    return ReplicationError(text)
