"""Two small servers around the pure exchanges, for real clients: one that asks by itself, one in front of Postgres."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.proxy.scram.binding import end_point
from services.proxy.scram.broker import Broker, Stage
from services.proxy.scram.challenger import Challenger
from services.proxy.scram.server import NotProven, Proven, ServerExchange
from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.session.relay import BackendRelay
from services.proxy.upstream.connection import UpstreamConnection
from services.proxy.upstream.dialler import Dialler
from services.shared.pgwire.authentication import AuthenticationOk, AuthenticationSaslFinal
from services.shared.pgwire.backend import READY_FOR_QUERY, error_response
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.startup import ENCRYPTION_REFUSED, SSL_ACCEPTED, SSLRequest, StartupBuffer, StartupMessage
from services.shared.runtime.upstream import Upstream

_LEAVING_SECONDS = 10.0

Find = Callable[[str, Challenge], Awaitable[Verifier | None]]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server speaks TLS with."""

    context: ssl.SSLContext
    end_point: bytes | None

    @classmethod
    def of_files(cls, certificate: Path, key: Path) -> "ServerTls":
        """Read a certificate and its key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
        return cls(context, end_point(der))


@dataclass
class Seen:
    """What a server saw of its clients.

    Attributes:
        outcomes: Whether they knew the password, by a server that asks.
        stages, advice: How far they came and what was remarkable, by a server that brokers.
    """

    outcomes: list[Proven | NotProven | None] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, StartupMessage], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, tls: ServerTls | None) -> AsyncIterator[int]:
    """Listen on a port, bring each client to its start-up packet, and hand it on; at the end, wait until all left."""
    clients: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        try:
            startup = await _startup(reader, writer, tls)
            if startup is not None:
                await serve(reader, writer, startup)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left: it had seen enough, or too little
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        async with asyncio.timeout(_LEAVING_SECONDS):
            await asyncio.gather(*clients)


async def _startup(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ServerTls | None
) -> StartupMessage | None:
    buffer = StartupBuffer()
    while True:
        packet = buffer.take()
        if packet is None:
            data = await reader.read(4096)
            if not data:
                return None
            buffer.feed(data)
        elif isinstance(packet, StartupMessage):
            return packet
        elif isinstance(packet, SSLRequest) and tls is not None:
            writer.write(SSL_ACCEPTED)
            await writer.drain()
            await writer.start_tls(tls.context)
        else:
            writer.write(ENCRYPTION_REFUSED)


@asynccontextmanager
async def asking_server(
    challenge: Challenge, verifier: Verifier | None, tls: ServerTls | None = None, *, offers_binding: bool = True
) -> AsyncIterator[tuple[int, Seen]]:
    """A server that asks for one password, whoever comes, and then does nothing more."""
    seen = Seen()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, startup: StartupMessage) -> None:
        hash_ = tls.end_point if tls is not None and offers_binding else None
        asked = Challenger(startup.user, ServerExchange(challenge, verifier, hash_))
        writer.write(asked.offer())
        while not asked.ended:
            data = await reader.read(4096)
            if not data:
                return
            writer.write(asked.receive(data))
        seen.outcomes.append(asked.outcome)
        if isinstance(asked.outcome, Proven):
            writer.write(AuthenticationSaslFinal(asked.outcome.server_final).encode() + AuthenticationOk().encode())
            writer.write(READY_FOR_QUERY[TransactionStatus.IDLE])
            await reader.read()
        else:
            message = f'password authentication failed for user "{startup.user}"'
            refusal = asked.refusal or error_response("FATAL", "28P01", message)
            writer.write(refusal.encode())
        await writer.drain()

    async with listening(serve, tls) as port:
        yield port, seen


@asynccontextmanager
async def man_in_the_middle(target: int, own: ServerTls, strip: bytes = b"") -> AsyncIterator[int]:
    """Ends the client's TLS, begins TLS with the server, passes everything on; takes one word off what passes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, startup: StartupMessage) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", target)
        server_writer.write(SSLRequest().encode())
        assert await server_reader.readexactly(1) == b"S"
        await server_writer.start_tls(context)
        server_writer.write(startup.encode())

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                if strip in data and strip:
                    shorter = data.replace(strip, b"")[5:]
                    data = data[:1] + (len(shorter) + 4).to_bytes(4, "big") + shorter
                sink.write(data)
            sink.close()

        await asyncio.gather(pass_on(server_reader, writer), pass_on(reader, server_writer))
        await server_writer.wait_closed()

    async with listening(serve, own) as port:
        yield port


@asynccontextmanager
async def brokering_server(
    upstream: Upstream, find: Find, tls: ServerTls | None = None
) -> AsyncIterator[tuple[int, Seen]]:
    """A server that logs its clients in to Postgres by a `Broker`, and passes everything on afterwards."""
    seen = Seen()
    dialler = Dialler(upstream)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, startup: StartupMessage) -> None:
        opening = await dialler.begin(startup.encode())
        certificate = opening.connection.certificate
        broker = Broker(
            startup.user,
            client_end_point=None if tls is None else tls.end_point,
            server_end_point=None if certificate is None else end_point(certificate),
        )
        side = _PostgresSide(broker, opening.connection, writer)
        opening.hand_over(side)
        try:
            if await _log_in(broker, side, reader, writer, startup, find):
                while data := await reader.read(65536):
                    opening.connection.write(data)
        finally:
            seen.stages.append(broker.stage)
            seen.advice.append(broker.advice)
            await side.close()

    async with listening(serve, tls) as port:
        yield port, seen


async def _log_in(
    broker: Broker,
    side: "_PostgresSide",
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    startup: StartupMessage,
    find: Find,
) -> bool:
    while broker.stage not in (Stage.ADMITTED, Stage.REFUSED):
        side.news.clear()
        if broker.wanted is not None:
            broker.use(await find(startup.user, broker.wanted))
        elif broker.stage is Stage.PROOF:
            data = await reader.read(4096)
            if not data:
                return False
            broker.client_received(data)
        elif side.lost:
            return False
        else:
            await side.news.wait()
        side.flush()
    if broker.refusal is not None:
        writer.write(broker.refusal.encode())
    await writer.drain()
    return broker.stage is Stage.ADMITTED


class _PostgresSide:
    """What Postgres says, through the relay. An `UpstreamListener`."""

    def __init__(self, broker: Broker, connection: UpstreamConnection, writer: asyncio.StreamWriter) -> None:
        self._broker = broker
        self._connection = connection
        self._writer = writer
        self._relay = BackendRelay()
        self._greeted = False
        self.lost = False
        self.news = asyncio.Event()

    async def close(self) -> None:
        self._connection.close()
        while not self.lost:
            self.news.clear()
            await self.news.wait()

    def flush(self) -> None:
        self._writer.write(self._broker.take_for_client())
        self._connection.write(self._broker.take_for_postgres())

    def upstream_received(self, data: bytes) -> None:
        passed = self._relay.feed(data, self._broker)
        self.flush()
        self._writer.write(passed)
        if self._broker.ready and not self._greeted:
            self._greeted = True
            self._writer.write(READY_FOR_QUERY[TransactionStatus.IDLE])
        self.news.set()

    def upstream_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.news.set()
        self._writer.close()

    def upstream_full(self, *, full: bool) -> None:
        """The statements here fill nothing."""
