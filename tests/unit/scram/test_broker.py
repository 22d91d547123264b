"""The two exchanges of one login, and who gets to see what when.

Against Postgres itself: tests/integration/test_scram_broker.py.
"""

from collections.abc import Callable

import pytest

from services.proxy.scram import b64
from services.proxy.scram.broker import Broker, Stage
from services.proxy.scram.challenger import Challenger
from services.proxy.scram.client import ClientExchange
from services.proxy.scram.errors import wrong_password
from services.proxy.scram.keys import Keys, nobodys_keys
from services.proxy.scram.server import Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Challenge, Verifier
from services.proxy.session.relay import BackendRelay
from services.shared.pgwire.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationMd5Password,
    AuthenticationOk,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
    SaslInitialResponse,
)
from services.shared.pgwire.backend import READY_FOR_QUERY, BackendKeyData, NegotiateProtocolVersion, ParameterStatus
from services.shared.pgwire.codes import FrontendCode, TransactionStatus
from services.shared.pgwire.framing import MessageBuffer, MessageLimits, frame
from services.shared.pgwire.notice import NoticeResponse
from tests.unit.scram.exchanges import CHALLENGE, END_POINT, KEYS, MECHANISM_PLUS, OTHER_END_POINT, VERIFIER

OK = AuthenticationOk().encode()
READY = READY_FOR_QUERY[TransactionStatus.IDLE]
SETTINGS = ParameterStatus("TimeZone", "UTC").encode() + BackendKeyData(7, b"1234").encode()


class Postgres:
    """What Postgres does in the authentication phase, by our own server's side of the exchange."""

    def __init__(self, challenge: Challenge, verifier: Verifier | None, end_point: bytes | None = None) -> None:
        self.challenger = Challenger("ada", ServerExchange(challenge, verifier, end_point))

    def asks(self) -> bytes:
        return self.challenger.offer()

    def answers(self, data: bytes) -> bytes:
        answer = self.challenger.receive(data)
        if isinstance(self.challenger.outcome, Proven):
            final = AuthenticationSaslFinal(self.challenger.outcome.server_final).encode()
            return final + OK + SETTINGS + READY
        if self.challenger.outcome is not None:
            return wrong_password("ada").encode()
        assert self.challenger.refusal is None, self.challenger.refusal.message
        return answer


class Login:
    """A client, the broker and Postgres, and what the client saw."""

    def __init__(
        self,
        postgres: Postgres,
        verifier: Verifier | None = VERIFIER,
        client_end_point: bytes | None = None,
        server_end_point: bytes | None = None,
    ) -> None:
        self.postgres = postgres
        self.relay = BackendRelay()
        self.broker = Broker("ada", client_end_point=client_end_point, server_end_point=server_end_point)
        self.verifier = verifier
        self.seen = b""

    def postgres_sends(self, data: bytes) -> None:
        passed = self.relay.feed(data, self.broker)
        self.seen += self.broker.take_for_client() + passed
        if answer := self.broker.take_for_postgres():
            self.postgres_sends(self.postgres.answers(answer))

    def client_sends(self, data: bytes) -> None:
        self.broker.client_received(data)
        self.seen += self.broker.take_for_client()
        if proof := self.broker.take_for_postgres():
            self.postgres_sends(self.postgres.answers(proof))

    def last_message(self) -> bytes:
        messages = MessageBuffer(MessageLimits({}, 1 << 20))
        messages.feed(self.seen)
        return [message.raw for message in messages][-1]

    def run(self, keys: Keys = KEYS, end_point: bytes | None = None) -> "Login":
        self.postgres_sends(self.postgres.asks())
        assert self.broker.wanted is not None
        assert self.seen == b""
        self.broker.use(self.verifier)
        self.seen += self.broker.take_for_client()
        offered = (MECHANISM,) if end_point is None else (MECHANISM_PLUS, MECHANISM)
        assert self.seen == AuthenticationSasl(offered).encode()
        client = ClientExchange(offered, end_point)
        self.client_sends(SaslInitialResponse(client.mechanism, client.first()).encode())
        client.read_challenge(self.last_message()[9:])
        self.client_sends(frame(FrontendCode.PASSWORD, client.prove(keys)))
        if self.broker.stage is Stage.ADMITTED:
            start = self.seen.index(b"v=")
            client.check(self.seen[start : self.seen.index(OK)])
        return self


def test_who_knows_the_password_is_admitted_by_postgres() -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER)).run()
    assert login.broker.stage is Stage.ADMITTED
    assert login.broker.ready
    assert login.broker.backend_key == b"\0\0\0\x071234"
    assert login.seen.endswith(OK + SETTINGS)  # the first ReadyForQuery is held back
    assert isinstance(login.postgres.challenger.outcome, Proven)


@pytest.mark.parametrize("client_end_point", [None, END_POINT])
@pytest.mark.parametrize("server_end_point", [None, OTHER_END_POINT])
def test_each_side_is_bound_to_its_own_channel(client_end_point: bytes | None, server_end_point: bytes | None) -> None:
    postgres = Postgres(CHALLENGE, VERIFIER, server_end_point)
    login = Login(postgres, VERIFIER, client_end_point, server_end_point).run(KEYS, client_end_point)
    assert login.broker.stage is Stage.ADMITTED


@pytest.mark.parametrize(
    ("verifier", "keys"),
    [
        (VERIFIER, nobodys_keys()),  # a wrong password
        (None, KEYS),  # we have no verifier
        (Verifier.of_keys(KEYS, Challenge(b"old salt", 100)), KEYS),  # ours is of an earlier password
    ],
)
def test_postgres_itself_refuses_who_does_not_prove_it(verifier: Verifier | None, keys: Keys) -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER), verifier).run(keys)
    assert login.last_message() == wrong_password("ada").encode()
    assert login.broker.stage is Stage.REFUSED
    assert OK not in login.seen
    assert b"v=" not in login.seen


def test_who_does_not_exist_is_asked_with_the_salt_that_postgres_made_up() -> None:
    made_up = Challenge(b"made up by Postgres", 4096)
    login = Login(Postgres(made_up, None), VERIFIER).run()
    assert b"s=" + b64.encode(made_up.salt) in login.seen
    assert login.last_message() == wrong_password("ada").encode()


def test_a_right_proof_is_not_enough_where_postgres_refuses() -> None:
    """The verifier is right; the password has expired in Postgres meanwhile."""
    login = Login(Postgres(CHALLENGE, None)).run()
    assert login.last_message() == wrong_password("ada").encode()
    assert OK not in login.seen


def test_what_comes_before_the_question_passes_as_it_came() -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER))
    version, notice = NegotiateProtocolVersion(196608, ()).encode(), NoticeResponse((("M", "hm"),)).encode()
    login.postgres_sends(version + notice)
    assert login.seen == version + notice
    refused = wrong_password("ada").encode()
    login.postgres_sends(refused)
    assert login.seen == version + notice + refused
    assert login.broker.stage is Stage.REFUSED
    login.broker.use(VERIFIER)
    assert login.broker.take_for_client() == b""


@pytest.mark.parametrize(
    ("request_", "does"),
    [
        (OK, "admits this proxy without a password"),
        (AuthenticationCleartextPassword().encode(), "asks this proxy for CleartextPassword"),
        (AuthenticationMd5Password(b"salt").encode(), "asks this proxy for Md5Password"),
        (frame(ord("R"), b"\0\0\0\x07"), "asks this proxy for Other"),
    ],
)
def test_where_postgres_does_not_ask_for_scram_nobody_comes_in(request_: bytes, does: str) -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER))
    login.postgres_sends(request_ + SETTINGS + READY)
    refusal = login.broker.refusal
    assert refusal is not None
    assert (refusal.sqlstate, login.seen) == ("28000", b"")
    assert does in refusal.message
    assert "scram-sha-256" in refusal.fields["H"]
    assert does in login.broker.advice
    assert not login.broker.ready


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (AuthenticationSasl(("OAUTHBEARER",)).encode(), "does not offer SCRAM-SHA-256"),
        (AuthenticationSaslContinue(b"").encode(), "Postgres asks this proxy for SaslContinue"),
        (frame(ord("R"), b"\0\0"), "insufficient data"),
        (READY, "type 'Z'"),
        (SETTINGS, "type 'S'"),
        (frame(ord("D"), b"\0\0"), "type 'D'"),
        (AuthenticationSasl((MECHANISM,)).encode() + OK, "AuthenticationOk out of turn"),
        (AuthenticationSasl((MECHANISM,)).encode() + AuthenticationSaslContinue(b"x").encode(), "malformed"),
    ],
)
def test_a_server_that_breaks_the_exchange_gets_nothing_through(sent: bytes, why: str) -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER))
    login.relay.feed(sent, login.broker)
    assert login.broker.refusal is not None
    assert why in login.broker.refusal.message
    assert login.broker.stage is Stage.REFUSED
    assert login.relay.feed(OK + SETTINGS + READY, login.broker) == b""


def _unsigned(final: bytes) -> bytes:
    return AuthenticationSaslFinal(b"v=" + b64.encode(bytes(32))).encode() + final[final.index(OK) :]


@pytest.mark.parametrize("change", [_unsigned, lambda final: final[final.index(OK) :]])
def test_a_server_that_does_not_prove_itself_admits_nobody(
    change: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = Postgres(CHALLENGE, VERIFIER)
    answers = postgres.answers
    monkeypatch.setattr(postgres, "answers", lambda data: change(found) if OK in (found := answers(data)) else found)
    login = Login(postgres).run()
    assert login.broker.stage is Stage.REFUSED
    assert login.broker.refusal is not None
    assert "cannot be trusted" in login.broker.refusal.message
    assert OK not in login.seen


def test_a_client_that_breaks_the_exchange_is_refused_without_postgres() -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER))
    login.postgres_sends(login.postgres.asks())
    login.broker.use(VERIFIER)
    login.broker.client_received(b"Q\0\0\0\5\0")
    assert login.broker.refusal is not None
    assert login.broker.take_for_postgres() == b""
    assert login.broker.stage is Stage.REFUSED


def test_no_repr_shows_what_was_learned() -> None:
    login = Login(Postgres(CHALLENGE, VERIFIER)).run()
    assert repr(KEYS.client_key)[2:-1] not in repr(login.broker)
