"""Why a cluster does not let us in, in words that say what to do.

aiokafka tells only that no broker could be reached. So the brokers are asked once more, one after the other, each step
by itself: is there anybody, do both sides speak TLS or neither, is the certificate trusted, does a user have to be
named, and is it the right one.
"""

import ssl
from collections.abc import Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # aiokafka ships no type information
from aiokafka.errors import (  # type: ignore[import-untyped]  # as above
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.admin import SaslHandShakeRequest  # type: ignore[import-untyped]  # as above
from aiokafka.protocol.metadata import MetadataRequest  # type: ignore[import-untyped]  # as above

from services.shared.eventlog.kafka_access import KafkaAccess
from services.shared.eventlog.kafka_errors import translated
from services.shared.eventlog.kafka_metadata import some_node
from services.shared.eventlog.log import LogUnavailable, LogUnsuitable
from services.shared.runtime.kafka_url import OAUTHBEARER, PLAIN_SCHEME, TLS_SCHEME

_CORRECT = "of TIDEGATE_EVENT_LOG"
_LOOK_SECONDS = 2.0  # for each step of finding out
_UNREACHABLE = (KafkaError, OSError, EOFError)  # of one broker: TimeoutError and ssl.SSLError are OSErrors


async def open_client(access: KafkaAccess, timeout: float) -> AIOKafkaClient:
    """Return a connected client, to be closed by the caller.

    Raises:
        LogUnavailable: No broker answers.
        LogUnsuitable: One does, and does not let us in. The text says what to change.
    """
    client = access.client(timeout)
    try:
        async with translated(timeout):
            await client.bootstrap()
    except LogUnavailable:
        await client.close()
        await _find_refusal(access, access.url.brokers, timeout)
        raise
    except BaseException:
        await client.close()
        raise
    try:
        await _follow_directions(access, client, timeout)
    except BaseException:
        await client.close()
        raise
    return client


async def _follow_directions(access: KafkaAccess, client: AIOKafkaClient, timeout: float) -> None:
    """Make sure that brokers can be reached where they say that they are, which need not be where we asked."""
    async with translated(timeout):
        if await some_node(client) is not None:
            return
    directions = [f"{broker.host}:{broker.port}" for broker in client.cluster.brokers()]
    await _find_refusal(access, directions or access.url.brokers, timeout)
    if not directions:
        raise LogUnavailable("event log on Kafka: it has only just begun, and knows of no brokers")
    raise LogUnavailable(
        f"Kafka sends us from {', '.join(access.url.brokers)} to {', '.join(directions)}, where nobody answers "
        "(advertised.listeners of the brokers)"
    )


async def _find_refusal(access: KafkaAccess, brokers: Iterable[str], timeout: float) -> None:
    """Ask each broker why it does not let us in; return if it was for no reason that a person has to mend.

    Raises:
        LogUnsuitable: The reason, of the first broker that has one.
    """
    for broker in brokers:
        try:
            async with translated(timeout):
                if refusal := await _refusal(access, broker):
                    raise LogUnsuitable(refusal)
        except LogUnavailable:
            continue


async def _refusal(access: KafkaAccess, broker: str) -> str | None:
    """Return why one broker does not let us in; None where it cannot be told, or it would now."""
    url = access.url
    try:
        connection = await access.connect(broker, _LOOK_SECONDS)
    except ssl.SSLError as error:
        return _tls_refusal(broker, error)
    except SaslAuthenticationFailed as error:
        return _login_refusal(url.mechanism, url.user, broker, error)
    except UnsupportedSaslMechanismError:
        offered = ", ".join(await _mechanisms(access, broker))
        return f"{broker} does not take {url.mechanism}: set sasl_mechanism {_CORRECT} to one that it has ({offered})"
    except IllegalSaslStateError:
        return f"{broker} asks nobody who they are: leave out USER:PASSWORD@ and sasl_mechanism {_CORRECT}"
    except _UNREACHABLE as error:
        if url.token_file is not None and not url.token_file.exists():
            return f"{url.token_file} does not exist: correct sasl_token_file {_CORRECT}"
        return await _transport_refusal(access, broker, error)
    try:
        reply = await connection.send(MetadataRequest([]))
    except _UNREACHABLE as error:  # closed on us after the greeting: a user was to come first, or a certificate
        return await _stranger_refusal(access, broker, error)
    finally:
        await connection.close()
    if url.mechanism == OAUTHBEARER and not reply.brokers:  # it says so to the client, which does not listen
        return _login_refusal(url.mechanism, "", broker, SaslAuthenticationFailed("it is not valid"))
    return None


def _tls_refusal(broker: str, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message
        if "mismatch" in said or "not valid for" in said:
            return (
                f"the certificate of {broker} is for another name ({said}): write the name that it is for, or "
                f"ssl_check_hostname=false, {_CORRECT}"
            )
        return (
            f"the certificate of {broker} is not trusted ({said}): name the file with the authority's certificate as "
            f"ssl_ca_certs {_CORRECT}"
        )
    return f"{broker} and we find no way to speak TLS ({error.reason or error}): see the broker's log"


def _login_refusal(mechanism: str, user: str, broker: str, error: Exception) -> str:
    said = str(error).rpartition(": ")[2]  # behind its name and number; a colon parts a reason from its remedy
    if mechanism == OAUTHBEARER:
        return f"{broker} does not take our token ({said}): renew the file that is sasl_token_file {_CORRECT}"
    return (
        f"{broker} refuses the user {user} ({said}): correct user and password {_CORRECT}, or make the user for "
        f"{mechanism} with kafka-configs.sh"
    )


async def _transport_refusal(access: KafkaAccess, broker: str, error: Exception) -> str | None:
    """Nothing that we understand came back: is it TLS that is spoken there, or a certificate that was awaited?"""
    if access.url.tls:
        if await _speaks_plainly(access, broker):
            return f"{broker} does not speak TLS: write {PLAIN_SCHEME} in place of {TLS_SCHEME}, or the port that does"
        return _certificate_refusal(access, broker, error)
    if await access.speaks_tls(broker, _LOOK_SECONDS):
        return f"{broker} speaks TLS: write {TLS_SCHEME} in place of {PLAIN_SCHEME}"
    return None


async def _speaks_plainly(access: KafkaAccess, broker: str) -> bool:
    try:
        connection = await access.connect(broker, _LOOK_SECONDS, tls=False)
    except _UNREACHABLE:
        return False
    await connection.close()
    return True


async def _stranger_refusal(access: KafkaAccess, broker: str, error: Exception) -> str | None:
    if not access.url.mechanism and (offered := await _mechanisms(access, broker)):
        return (
            f"{broker} asks who we are: write USER:PASSWORD@ before the first broker of TIDEGATE_EVENT_LOG, and a "
            f"sasl_mechanism that it has ({', '.join(offered)})"
        )
    return _certificate_refusal(access, broker, error)


def _certificate_refusal(access: KafkaAccess, broker: str, error: Exception) -> str | None:
    """Tell of a broker that closes the connection when TLS stands: since TLS 1.3 it may look at our side so late."""
    if not access.url.tls or isinstance(error, ConnectionRefusedError):
        return None
    if access.url.certificate is None and "CERTIFICATE" in _whole_story(error):
        return f"{broker} wants a certificate of ours: name it as ssl_certfile, and its key as ssl_keyfile, {_CORRECT}"
    if "CERTIFICATE" in _whole_story(error) or "UNKNOWN_CA" in _whole_story(error):
        return f"{broker} does not trust our certificate: name one of an authority that it trusts as ssl_certfile"
    return None


def _whole_story(error: BaseException | None) -> str:
    told = ""
    while error is not None:
        told += f"{error!r} "
        error = error.__cause__ or error.__context__
    return told.upper()


async def _mechanisms(access: KafkaAccess, broker: str) -> list[str]:
    """Return how a broker lets users prove who they are; nothing where it does not ask."""
    connection: Any = None
    try:
        connection = await access.connect(broker, _LOOK_SECONDS, sasl=False)
        reply = await connection.send(SaslHandShakeRequest(access.url.mechanism or "none"))
    except _UNREACHABLE:
        return []
    finally:
        if connection is not None:
            await connection.close()
    known = for_code(reply.error_code) is not IllegalSaslStateError
    return list(reply.enabled_mechanisms) if known else []
