"""Reaching Postgres for clients: TCP or a unix socket, and TLS as the `sslmode` of the URL says.

The first answer to the start-up packet belongs to the dialling: where it is an error and the mode allows another way
(with TLS, or without), the other way is tried before the client sees anything, as libpq does.
"""

import asyncio
import ssl

from services.proxy.tls.sslmode import Attempt, attempts
from services.proxy.tls.watched_files import WatchedFiles
from services.proxy.upstream.connection import UpstreamConnection, UpstreamListener
from services.proxy.upstream.failure import TlsFailure, TlsNotOffered
from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.startup import ENCRYPTION_REFUSED, SSL_ACCEPTED, SSLRequest
from services.shared.runtime.upstream import Upstream
from services.shared.upstream_tls import UpstreamTls, make_upstream_tls, tls_files

_CONNECT_SECONDS = 10.0  # for each attempt, TLS included
_ERROR = bytes((BackendCode.ERROR_RESPONSE,))


class Opening:
    """A connection to Postgres while nobody has taken it over: keeps what Postgres says. An `UpstreamListener`.

    Attributes:
        connection: The connection.
    """

    def __init__(self) -> None:
        self.connection = UpstreamConnection(self)
        self._data = b""
        self._lost = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def upstream_received(self, data: bytes) -> None:
        """Bytes came."""
        self._data += data
        self._news.set()

    def upstream_lost(self, error: Exception | None) -> None:
        """Postgres closed."""
        self._lost, self._error = True, error
        self._news.set()

    def upstream_full(self, *, full: bool) -> None:
        """A start-up packet never fills anything."""

    async def first_bytes(self, count: int) -> bytes:
        """Wait for so many bytes and return what is there; fewer when Postgres closed before."""
        while len(self._data) < count and not self._lost:
            self._news.clear()
            await self._news.wait()
        return self._data

    @property
    def refused(self) -> bool:
        """Whether the first thing that Postgres said is an error."""
        return self._data.startswith(_ERROR)

    @property
    def loss(self) -> OSError | None:
        """Why the connection ended, if it has."""
        if not self._lost:
            return None
        if isinstance(self._error, ssl.SSLError):
            return TlsFailure(
                self._error
            )  # TLS 1.3: a server that dislikes our certificate says so after the handshake
        return self._error if isinstance(self._error, OSError) else ConnectionResetError("closed without a word")

    def hand_over(self, listener: UpstreamListener) -> None:
        """Let somebody else hear the connection, from its first byte on."""
        self.connection.listener = listener
        if self._data:
            listener.upstream_received(self._data)
        if self._lost:
            listener.upstream_lost(self._error)


class Dialler:
    """Opens connections to one Postgres server.

    Attributes:
        encrypted: Whether the connection that was opened last is under TLS; None before the first.
    """

    def __init__(self, upstream: Upstream, *, show_certificate: bool = True) -> None:
        """Read what TLS needs.

        Args:
            upstream: The server.
            show_certificate: Whether to show our certificate where the URL names one.

        Raises:
            Refusal: A file that the URL names cannot be used.
        """
        self._upstream = upstream
        self._attempts = attempts(upstream.sslmode, unix_socket=upstream.socket_path is not None)
        self._tls: WatchedFiles[UpstreamTls] | None = None
        self.encrypted: bool | None = False
        if self._attempts != (Attempt.PLAIN,):
            files = tls_files(upstream)
            self._tls = WatchedFiles(
                (files.roots, files.certificate, files.key),
                lambda: make_upstream_tls(upstream, show_certificate=show_certificate),
            )
            self.encrypted = None

    @property
    def shows_certificate(self) -> bool:
        """Whether connections under TLS show a certificate of ours."""
        return self._tls is not None and self._tls.current().shows_certificate

    async def begin(self, packet: bytes) -> Opening:
        """Open a connection, send a start-up packet, and wait for the first answer.

        Returns:
            The connection that Postgres took, or, when it took none, the last one that it refused with an error.

        Raises:
            OSError: Postgres cannot be reached, or not as the mode demands; TimeoutError is one of its kind.

        Cancel-safe: yes, the connection is closed.
        """
        taken: Opening | None = None
        failure: OSError | None = None
        try:
            for attempt in self._attempts:
                try:
                    opening = await self._attempt(attempt, packet)
                except TlsFailure as error:
                    failure = error
                    continue
                except OSError as error:
                    failure = error
                    break
                if taken is not None:
                    taken.connection.close()
                taken = opening
                if not opening.refused or _was_plain(attempt, opening):
                    break
        except BaseException:
            if taken is not None:
                taken.connection.abort()
            raise
        if taken is None:
            assert failure is not None
            raise failure
        self.encrypted = taken.connection.encrypted
        return taken

    async def dial(self) -> Opening:
        """Open a connection and say nothing on it: for a cancel request, or to learn how it is made.

        Raises:
            OSError: As `begin`.
        """
        for index, attempt in enumerate(self._attempts):
            try:
                opening = await self._open(attempt)
            except TlsFailure:
                if index + 1 == len(self._attempts):
                    raise
                continue
            self.encrypted = opening.connection.encrypted
            return opening
        raise AssertionError("every mode has an attempt")

    async def learn(self) -> None:
        """Find out whether connections are under TLS.

        Raises:
            OSError: As `begin`.
        """
        (await self.dial()).connection.close()

    async def _attempt(self, attempt: Attempt, packet: bytes) -> Opening:
        opening = await self._open(attempt)
        try:
            opening.connection.write(packet)
            first = await opening.first_bytes(1)
        except BaseException:
            opening.connection.abort()
            raise
        if not first:
            raise opening.loss or ConnectionResetError("closed without a word")
        return opening

    async def _open(self, attempt: Attempt) -> Opening:
        opening = Opening()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                if attempt is Attempt.PLAIN:
                    await self._connect(opening.connection)
                else:
                    assert self._tls is not None
                    await self._open_tls(opening.connection, self._tls.current(), attempt)
        except BaseException:
            opening.connection.abort()
            raise
        return opening

    async def _connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        upstream = self._upstream
        if upstream.socket_path is not None:
            transport, _ = await loop.create_unix_connection(lambda: protocol, upstream.socket_path)
        else:
            transport, _ = await loop.create_connection(lambda: protocol, upstream.host, upstream.port)
        return transport

    async def _open_tls(self, connection: UpstreamConnection, tls: UpstreamTls, attempt: Attempt) -> None:
        answer = _Answer()
        transport = await self._connect(answer)
        try:
            if not self._upstream.direct_tls:
                transport.write(SSLRequest().encode())
                if not await answer.accepts():
                    if attempt is not Attempt.IF_OFFERED:
                        raise TlsNotOffered
                    transport.set_protocol(connection)
                    connection.connection_made(transport)
                    return
            await self._shake_hands(transport, connection, tls)
        except BaseException:
            transport.abort()
            raise

    async def _shake_hands(
        self, transport: asyncio.Transport, connection: UpstreamConnection, tls: UpstreamTls
    ) -> None:
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, connection, tls.context, server_hostname=self._upstream.host
            )
        except (ssl.SSLError, ConnectionError) as error:
            raise TlsFailure(error) from error
        if encrypted is None or encrypted.is_closing():
            raise TlsFailure(ConnectionResetError("closed in the middle of the TLS handshake"))
        connection.connection_made(encrypted)


def _was_plain(attempt: Attempt, opening: Opening) -> bool:
    """Whether the attempt without TLS, which comes next, would be the same again."""
    return attempt is Attempt.IF_OFFERED and not opening.connection.encrypted


class _Answer(asyncio.Protocol):
    """Waits for the one byte that answers SSLRequest."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if not self._answer.done():
            self._answer.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed when it was asked for TLS"))

    async def accepts(self) -> bool:
        """Tell whether Postgres is ready for TLS.

        Raises:
            TlsFailure: It answers with something else. An error in the clear is not shown to anybody: whoever stands
                between could have written it. So could what comes behind the byte.
        """
        answer = await self._answer
        if answer not in (SSL_ACCEPTED, ENCRYPTION_REFUSED):
            raise TlsFailure(ConnectionError("unexpected bytes in answer to the request for TLS"))
        return answer == SSL_ACCEPTED
