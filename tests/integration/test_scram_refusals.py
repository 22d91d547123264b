"""What a client breaks is refused as Postgres refuses it: each case is played to Postgres and to us, and compared."""

import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from services.proxy.scram.binding import end_point
from services.proxy.scram.challenger import Challenger
from services.proxy.scram.keys import keys_of_password
from services.proxy.scram.server import NotProven, ServerExchange
from services.proxy.scram.verifier import Challenge, Verifier
from services.shared.pgwire.authentication import SaslInitialResponse
from services.shared.pgwire.backend import decode_backend, error_response
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.framing import frame
from services.shared.pgwire.notice import ErrorResponse
from services.shared.pgwire.startup import VERSION_3_0, SSLRequest, StartupMessage
from tests.servers.certificates import Authority
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_programs import NEWEST

CHALLENGE = Challenge(bytes(16), 4096)
VERIFIER = Verifier.of_keys(keys_of_password(b"pencil", *CHALLENGE), CHALLENGE)
WITH_TLS = "17"
PROOF = b"A" * 43 + b"="
GOOD = b"n,,n=,r=abc"
BOUND = b"p=tls-server-end-point,,n=,r=abc"
COMPARED = ("S", "V", "C", "M", "D", "H")


def response(data: bytes) -> bytes:
    return frame(FrontendCode.PASSWORD, data)


def chosen(mechanism: str, data: bytes | None) -> bytes:
    return SaslInitialResponse(mechanism, data).encode()


def first(data: bytes | None) -> list[bytes]:
    return [chosen("SCRAM-SHA-256", data)]


def final(data: bytes, opening: bytes = GOOD) -> list[bytes]:
    return [*first(opening), data]


# `NONCE` in a message stands for the nonce of both sides; what is no frame yet is put in one.
PLAIN: dict[str, list[bytes]] = {
    "a query": [frame(FrontendCode.QUERY, b"SELECT 1\0")],
    "nothing chosen": [response(b"")],
    "no end of the name": [response(b"SCRAM-SHA-256")],
    "no length": [response(b"SCRAM-SHA-256\0")],
    "too few bytes": [response(b"SCRAM-SHA-256\0\0\0\0\x09n,,n=")],
    "too many bytes": [response(b"SCRAM-SHA-256\0\0\0\0\x01n,,n=")],
    "negative length": [response(b"SCRAM-SHA-256\0\xff\xff\xff\xfe")],
    "unknown mechanism": [chosen("PLAIN", b"x")],
    "lower case": [chosen("scram-sha-256", GOOD)],
    "PLUS without TLS": [chosen("SCRAM-SHA-256-PLUS", BOUND)],
    "empty": first(b""),
    "NUL": first(b"n,,n=,r=a\0b"),
    "flag": first(b"x,,n=,r=abc"),
    "flag not printable": first(b"\xff,,n=,r=abc"),
    "flag alone": first(b"n"),
    "flag without comma": first(b"nn,n=,r=abc"),
    "y without comma": first(b"y;"),
    "bound without TLS": first(BOUND),
    "authzid": first(b"n,a=ada,n=,r=abc"),
    "something in place of the authzid": first(b"n,b=ada,n=,r=abc"),
    "nothing behind the flag": first(b"n,"),
    "nothing behind the header": first(b"n,,"),
    "mandatory extension": first(b"n,,m=x,n=,r=abc"),
    "no name": first(b"n,,r=abc"),
    "name without equals": first(b"n,,n,r=abc"),
    "no nonce": first(b"n,,n=ada"),
    "name and comma": first(b"n,,n=ada,"),
    "another attribute for the nonce": first(b"n,,n=,x=abc"),
    "nonce with a blank": first(b"n,,n=,r=a c"),
    "nonce with UTF-8": first("n,,n=,r=é".encode()),
    "nonce with DEL": first(b"n,,n=,r=a\x7f"),
    "extension without a letter": first(b"n,,n=,r=abc,1=x"),
    "extension without equals": first(b"n,,n=,r=abc,x"),
    "extension not printable": first(b"n,,n=,r=abc,\x01=x"),
    "too long": first(b"n,,n=,r=" + b"a" * 2000),
    "no first message, then an empty one": [*first(None), response(b"")],
    "no first message, then a wrong one": [*first(None), response(b"q,,n=,r=abc")],
    "query for a proof": [*first(GOOD), frame(FrontendCode.QUERY, b"SELECT 1\0")],
    "empty final": final(response(b"")),
    "final with NUL": final(response(b"c=biws,r=\0,p=")),
    "final without binding": final(b"r=NONCE,p=" + PROOF),
    "y said, n meant": final(b"c=biws,r=NONCE,p=" + PROOF, b"y,,n=,r=abc"),
    "n said, y meant": final(b"c=eSws,r=NONCE,p=" + PROOF),
    "binding is not base64": final(b"c=!!!!,r=NONCE,p=" + PROOF),
    "no nonce in the final": final(b"c=biws,p=" + PROOF),
    "no proof": final(b"c=biws,r=NONCE"),
    "no proof behind a comma": final(b"c=biws,r=NONCE,"),
    "empty proof": final(b"c=biws,r=NONCE,p="),
    "proof is not base64": final(b"c=biws,r=NONCE,p=" + b"!" * 44),
    "proof with a blank": final(b"c=biws,r=NONCE,p= " + PROOF),
    "short proof": final(b"c=biws,r=NONCE,p=AAAA"),
    "long proof": final(b"c=biws,r=NONCE,p=" + b"A" * 88),
    "proof without padding": final(b"c=biws,r=NONCE,p=" + PROOF[:-1]),
    "something behind the proof": final(b"c=biws,r=NONCE,p=" + PROOF + b",x=y"),
    "nonce of another exchange": final(b"c=biws,r=abcdef,p=" + PROOF),
    "nonce cut short": final(b"c=biws,r=abc,p=" + PROOF),
    "longer nonce": final(b"c=biws,r=NONCEx,p=" + PROOF),
    "wrong proof": final(b"c=biws,r=NONCE,p=" + PROOF),
    "wrong proof, y": final(b"c=eSws,r=NONCE,p=" + PROOF, b"y,,n=,r=abc"),
    "wrong proof behind an extension": final(b"c=biws,r=NONCE,x=y,p=" + PROOF),
}  # fmt: skip

UNDER_TLS: dict[str, list[bytes]] = {
    "could bind": first(b"y,,n=,r=abc"),
    "PLUS and n": [chosen("SCRAM-SHA-256-PLUS", b"n,,n=,r=abc")],
    "PLUS and y": [chosen("SCRAM-SHA-256-PLUS", b"y,,n=,r=abc")],
    "bound without PLUS": first(BOUND),
    "another type": [chosen("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=,r=abc")],
    "a strange type": [chosen("SCRAM-SHA-256-PLUS", b"p=tls-\xff-" + b"x" * 40 + b",,n=,r=abc")],
    "type without equals": [chosen("SCRAM-SHA-256-PLUS", b"p,,n=,r=abc")],
    "no data": [chosen("SCRAM-SHA-256-PLUS", BOUND), b"c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws,r=NONCE,p=" + PROOF],
    "other data": [chosen("SCRAM-SHA-256-PLUS", BOUND), b"c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAAA,r=NONCE,p=" + PROOF],
    "not bound in the end": [chosen("SCRAM-SHA-256-PLUS", BOUND), b"c=biws,r=NONCE,p=" + PROOF],
    "wrong proof, not bound": final(b"c=biws,r=NONCE,p=" + PROOF),
}


def _fields(error: ErrorResponse) -> dict[str, str]:
    return {letter: value for letter, value in error.fields.items() if letter in COMPARED}


def _filled_in(message: bytes, challenge: bytes) -> bytes:
    if message[:1] in (b"p", b"Q") and len(message) >= 5 and int.from_bytes(message[1:5], "big") == len(message) - 1:
        return message
    nonce = re.search(rb"r=([^,]+),s=", challenge)
    return response(message.replace(b"NONCE", nonce[1] if nonce else b""))


def ask_us(messages: list[bytes], hash_: bytes | None) -> dict[str, str]:
    asked = Challenger("ada", ServerExchange(CHALLENGE, VERIFIER, hash_))
    answer = b""
    for message in messages:
        answer = asked.receive(_filled_in(message, answer))
    if asked.outcome == NotProven():
        return _fields(error_response("FATAL", "28P01", 'password authentication failed for user "ada"'))
    assert asked.refusal is not None
    return _fields(asked.refusal)


def ask_postgres(connection: socket.socket, messages: list[bytes]) -> dict[str, str]:
    def read() -> bytes:
        data = b""
        while len(data) < 5 or len(data) < 1 + int.from_bytes(data[1:5], "big"):
            data += (received := connection.recv(65536))
            assert received, data
        return data

    with connection:
        connection.sendall(StartupMessage(VERSION_3_0, (("user", "ada"), ("database", "postgres"))).encode())
        answer = read()
        for message in messages:
            connection.sendall(_filled_in(message, answer))
            answer = read()
    error = decode_backend(answer)
    assert isinstance(error, ErrorResponse), answer
    return _fields(error)


@pytest.fixture(scope="module")
def plain() -> Iterator[PostgresServer]:
    with PostgresServer(NEWEST) as server:
        server.execute(f"CREATE ROLE ada LOGIN PASSWORD '{VERIFIER.format()}'")
        server.allow("host all all 127.0.0.1/32 scram-sha-256")
        yield server


@pytest.fixture(scope="module")
def encrypted() -> Iterator[tuple[PostgresServer, ssl.SSLContext]]:
    authority = Authority()
    settings = authority.postgres_settings(authority.issue("127.0.0.1"))
    with PostgresServer(WITH_TLS, **settings) as server:
        server.execute(f"CREATE ROLE ada LOGIN PASSWORD '{VERIFIER.format()}'")
        server.allow("host all all 127.0.0.1/32 scram-sha-256")
        yield server, ssl.create_default_context(cafile=str(authority.certificate))
    authority.remove()


def _connected(server: PostgresServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 20)


@pytest.mark.parametrize("name", PLAIN)
def test_a_refusal_is_that_of_postgres(plain: PostgresServer, name: str) -> None:
    theirs = ask_postgres(_connected(plain), PLAIN[name])
    assert ask_us(PLAIN[name], None) == theirs


@pytest.mark.parametrize("name", UNDER_TLS)
def test_so_it_is_under_tls(encrypted: tuple[PostgresServer, ssl.SSLContext], name: str) -> None:
    server, context = encrypted
    connection = _connected(server)
    connection.sendall(SSLRequest().encode())
    assert connection.recv(1) == b"S"
    wrapped = context.wrap_socket(connection, server_hostname="127.0.0.1")
    certificate = wrapped.getpeercert(binary_form=True)
    assert certificate is not None
    theirs = ask_postgres(wrapped, UNDER_TLS[name])
    assert ask_us(UNDER_TLS[name], end_point(certificate)) == theirs
