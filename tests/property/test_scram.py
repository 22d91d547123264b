"""SCRAM for any password and any message: the two sides agree with each other and with libpq, and nobody else does."""

import contextlib
from collections.abc import Callable

import psycopg
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.proxy.scram import b64
from services.proxy.scram.broker import Broker, Stage
from services.proxy.scram.challenger import Challenger
from services.proxy.scram.client import ClientExchange
from services.proxy.scram.errors import ClientRefused, ScramError, ServerUnproven
from services.proxy.scram.keys import keys_of_password
from services.proxy.scram.saslprep import prepare_password
from services.proxy.scram.server import NotProven, Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Challenge, InvalidVerifier, Verifier
from services.shared.pgwire.authentication import AuthenticationSasl
from services.shared.pgwire.framing import HEADER_BYTES
from tests.unit.scram.exchanges import answered

PASSWORDS = st.binary(max_size=40)
CHALLENGES = st.builds(Challenge, st.binary(min_size=1, max_size=40), st.integers(1, 50))
END_POINTS = st.none() | st.binary(min_size=20, max_size=64)
VERIFIERS = st.builds(
    Verifier,
    st.integers(1, 2**31 - 1),
    st.binary(min_size=1, max_size=40),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
KEYS = keys_of_password(b"pencil", b"salt", 10)
CHALLENGE = Challenge(b"salt", 10)
VERIFIER = Verifier.of_keys(KEYS, CHALLENGE)
END_POINT = b"\x07" * 32

# Characters that SASLprep treats in each of its ways, and any others.
TELLING = st.sampled_from(
    "aA1 \u00a0\u00ad\u00aa\u2168\u200b\u200e\u3000\u0627\u0661\u05d0\u0308\u0340\u0344\u1e9b\u212b\ufb01\ufeff\ufffd"
    "\ue000\ufdd0\u0221\u2028\u06dd\U0001d15e\U0002f868\U000e0001\U0010ffff\U0001f600\x07\x7f"
)
TEXTS = st.text(TELLING | st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(deadline=None)
@given(PASSWORDS, CHALLENGES, END_POINTS)
def test_the_two_sides_agree(password: bytes, challenge: Challenge, end_point: bytes | None) -> None:
    keys = keys_of_password(password, *challenge)
    server = ServerExchange(challenge, Verifier.of_keys(keys, challenge), end_point)
    client = ClientExchange(server.mechanisms, end_point)
    assert client.read_challenge(answered(server, client.mechanism, client.first())) == challenge
    outcome = server.respond(client.prove(keys))
    assert isinstance(outcome, Proven)
    assert outcome.client_key == keys.client_key
    client.check(outcome.server_final)


@settings(deadline=None)
@given(PASSWORDS, PASSWORDS)
def test_another_password_proves_nothing(password: bytes, other: bytes) -> None:
    # HMAC pads a short key with zeros, so PBKDF2 cannot tell a password from the same with NULs behind it.
    assume(password.rstrip(b"\0") != other.rstrip(b"\0"))
    verifier = Verifier.of_keys(keys_of_password(password, *CHALLENGE), CHALLENGE)
    server = ServerExchange(CHALLENGE, verifier, None)
    client = ClientExchange(server.mechanisms, None)
    client.read_challenge(answered(server, client.mechanism, client.first()))
    assert isinstance(server.respond(client.prove(keys_of_password(other, *CHALLENGE))), NotProven)


@settings(deadline=None)
@given(VERIFIERS)
def test_verifiers_are_read_as_they_were_written(verifier: Verifier) -> None:
    assert Verifier.parse(verifier.format()) == verifier


@settings(deadline=None)
@given(st.text(max_size=100) | VERIFIERS.map(Verifier.format).map(lambda text: text[:-3] + "x"))
def test_any_text_is_a_verifier_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidVerifier):
        Verifier.parse(text)


@st.composite
def _changed(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to change a message: a byte flipped, put in or taken out, the end cut off or written on."""
    at, byte = draw(st.integers(0, 200)), draw(st.binary(min_size=1, max_size=1))
    kind = draw(st.integers(0, 3))

    def change(message: bytes) -> bytes:
        place = at % len(message)
        head, tail = message[:place], message[place:]
        return (head + byte + tail[1:], head + byte + tail, head + tail[1:], head)[kind]

    return change


@settings(max_examples=300, deadline=None)
@given(_changed(), st.integers(0, 3), st.sampled_from([None, END_POINT]))
def test_no_message_can_be_changed_on_its_way(
    change: Callable[[bytes], bytes], which: int, end_point: bytes | None
) -> None:
    """A changed message ends the exchange, or both sides have agreed on something that the change left alone."""
    server = ServerExchange(CHALLENGE, VERIFIER, end_point)
    client = ClientExchange(server.mechanisms, end_point)

    def way(number: int, message: bytes) -> bytes:
        if number != which:
            return message
        changed = change(message)
        assume(changed != message)
        return changed

    try:
        first = way(0, client.first())
        challenge = way(1, answered(server, client.mechanism, first))
        client.read_challenge(challenge)
        final = way(2, client.prove(KEYS))
        outcome = server.respond(final)
        if isinstance(outcome, Proven):
            client.check(way(3, outcome.server_final))
    except (ClientRefused, ServerUnproven):
        return
    if isinstance(outcome, NotProven):
        return
    # What SCRAM does not protect: the bits of base64 that carry nothing.
    assert which in (2, 3)
    assert len({b64.decode(_last_value(text)) for text in (final, client.prove(KEYS))} if which == 2 else {0}) == 1


def _last_value(message: bytes) -> bytes:
    return message.rpartition(b",p=")[2]


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from([MECHANISM, f"{MECHANISM}-PLUS"]))
def test_whatever_a_client_sends_it_is_refused_in_words_or_not_proven(
    first: bytes, final: bytes, mechanism: str
) -> None:
    server = ServerExchange(CHALLENGE, VERIFIER, END_POINT)
    try:
        answered(server, mechanism, first)
        assert not isinstance(server.respond(final), Proven)
    except ClientRefused as refused:
        refused.response.encode()


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_a_server_sends_it_is_not_believed(challenge: bytes, final: bytes) -> None:
    client = ClientExchange([MECHANISM], None)
    try:
        client.read_challenge(challenge)
        client.prove(KEYS)
        client.check(final)
    except ServerUnproven:
        return
    raise AssertionError("it was believed")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=12))
def test_whatever_comes_on_the_wire_nobody_is_admitted(chunks: list[bytes]) -> None:
    asked = Challenger("ada", ServerExchange(CHALLENGE, VERIFIER, None))
    for chunk in chunks:
        if not asked.ended:
            asked.receive(chunk)
    assert not isinstance(asked.outcome, Proven)
    if asked.refusal is not None:
        asked.refusal.encode()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_whatever_postgres_sends_the_broker_admits_nobody(bodies: list[bytes]) -> None:
    broker = Broker("ada", client_end_point=None, server_end_point=None)
    for body in [AuthenticationSasl((MECHANISM,)).encode()[HEADER_BYTES:], *bodies]:
        message = b"R" + (len(body) + 4).to_bytes(4, "big") + body
        try:
            assert not broker.message(message[0], message, 0, len(message))
        except ScramError as error:
            raise AssertionError("it got out") from error
        assert broker.stage is not Stage.ADMITTED


@pytest.fixture(scope="module")
def libpq_verifier() -> Callable[[bytes], str]:
    """Libpq's own way from a password to a verifier. It wants a connection object, and no connection."""
    connection = psycopg.pq.PGconn.connect(b"host=/nowhere port=1")
    return lambda password: connection.encrypt_password(password, b"ada", b"scram-sha-256").decode()


@settings(max_examples=300, deadline=None)
@example("\u0627\u0627\u0308")
@example("a\u0340")
@example("\u0340\u0627")
@example("ª\u0627")
@given(TEXTS)
def test_a_password_becomes_the_verifier_that_libpq_makes_of_it(
    libpq_verifier: Callable[[bytes], str], text: str
) -> None:
    password = text.encode()
    theirs = Verifier.parse(libpq_verifier(password))
    assert Verifier.of_keys(keys_of_password(prepare_password(password), *theirs.challenge), theirs.challenge) == theirs


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=12).filter(lambda raw: b"\0" not in raw))
def test_so_does_one_that_is_no_text(libpq_verifier: Callable[[bytes], str], password: bytes) -> None:
    theirs = Verifier.parse(libpq_verifier(password))
    assert Verifier.of_keys(keys_of_password(prepare_password(password), *theirs.challenge), theirs.challenge) == theirs
