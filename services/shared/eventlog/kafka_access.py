"""How every connection to Kafka comes in: TLS, and who we are.

What aiokafka's clients have in common is made here from the URL. They tell of a broker that lets nobody in only that no
broker could be reached; so `kafka_refusals` asks again and finds out why.
"""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # as above
from aiokafka.conn import create_conn  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.log import LogUnsuitable
from services.shared.runtime.kafka_url import OAUTHBEARER, KafkaUrl


class KafkaAccess:
    """What connections to one cluster are made with. Files of TLS are read once, the token at each connection.

    Attributes:
        url: Where Kafka is, and how we come in.
    """

    def __init__(self, url: KafkaUrl) -> None:
        self.url = url
        self._context: ssl.SSLContext | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What a client of aiokafka is to be made with, beside what it is for.

        Raises:
            LogUnsuitable: A file that the URL names cannot be used. The message names its parameter.
        """
        return {"bootstrap_servers": list(self.url.brokers)} | self._way_in()

    async def connect(self, broker: str, timeout: float, *, sasl: bool = True, tls: bool = True) -> Any:
        """Return a connection to one broker; a client of its own kind, to be closed by the caller.

        Args:
            broker: The broker, as `host:port`.
            timeout: How long it may take to answer, in seconds.
            sasl: Whether to say who we are, if we do at all.
            tls: Whether to speak TLS, if we do at all.
        """
        host, _, port = broker.rpartition(":")
        way_in = self._way_in() if sasl and tls else self._transport(sasl=False, tls=tls and self.url.tls)
        return await create_conn(host.strip("[]"), int(port), request_timeout_ms=int(timeout * 1000), **way_in)

    async def speaks_tls(self, broker: str, timeout: float) -> bool:
        """Tell whether a broker would speak TLS, whoever it is."""
        host, _, port = broker.rpartition(":")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # nothing is told to it
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
        except OSError:  # of TLS too
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    def client(self, timeout: float) -> AIOKafkaClient:
        """Return a client, not connected yet."""
        return AIOKafkaClient(request_timeout_ms=int(timeout * 1000), **self.options)

    def _way_in(self) -> dict[str, Any]:
        url = self.url
        options = self._transport(sasl=bool(url.mechanism), tls=url.tls)
        if url.mechanism == OAUTHBEARER and url.token_file is not None:
            options |= {"sasl_mechanism": OAUTHBEARER, "sasl_oauth_token_provider": _TokenFile(url.token_file)}
        elif url.mechanism:
            options |= {
                "sasl_mechanism": url.mechanism,
                "sasl_plain_username": url.user,
                "sasl_plain_password": url.password,
            }
        return options

    def _transport(self, *, sasl: bool, tls: bool) -> dict[str, Any]:
        if tls and self._context is None:
            self._context = _tls_context(self.url)
        protocol = f"{'SASL_' if sasl else ''}{'SSL' if tls else 'PLAINTEXT'}"
        return {"security_protocol": protocol, "ssl_context": self._context}


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # the base class is untyped
    """Reads the token from a file, which whoever renews it replaces."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """Return the token.

        Raises:
            OSError: The file cannot be read.
        """
        return self._path.read_text(encoding="latin-1").strip()


def _tls_context(url: KafkaUrl) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = url.check_host_name
    if url.ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(url.ca)
        except (OSError, ssl.SSLError) as error:
            raise LogUnsuitable(_of_parameter("ssl_ca_certs", url.ca, error)) from error
    if url.certificate is not None:
        _show(context, url.certificate, url.key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    def no_password() -> str:
        raise ValueError("the key is encrypted, which is not supported")

    for parameter, path in (("ssl_certfile", certificate), ("ssl_keyfile", key or certificate)):
        try:
            path.read_bytes()
        except OSError as error:
            raise LogUnsuitable(_of_parameter(parameter, path, error)) from error
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (OSError, ValueError) as error:
        raise LogUnsuitable(_of_parameter("ssl_certfile", certificate, error)) from error


def _of_parameter(parameter: str, path: Path, error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        said = "ssl_keyfile is not its key" if mismatch else str(error.reason or error)
    else:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{path} cannot be used ({said}): correct {parameter} of TIDEGATE_EVENT_LOG"
