"""One login with a password: what is learned from it, and how its failures are told."""

import pytest

from services.proxy.scram.challenger import Challenger
from services.proxy.scram.keys import keys_of_password
from services.proxy.scram.server import Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Verifier
from services.proxy.users.password_login import LoginFailed, PasswordLogin
from services.shared.pgwire.authentication import (
    AuthenticationCleartextPassword,
    AuthenticationMd5Password,
    AuthenticationOk,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
)
from services.shared.pgwire.backend import READY_FOR_QUERY, BackendKeyData, ParameterStatus, error_response
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.framing import frame
from services.shared.pgwire.notice import NoticeResponse
from tests.unit.scram.exchanges import CHALLENGE, END_POINT, VERIFIER

OK = AuthenticationOk().encode()
SETTINGS = ParameterStatus("TimeZone", "UTC").encode() + BackendKeyData(7, b"1234").encode()
READY = READY_FOR_QUERY[TransactionStatus.IDLE]


def ask(login: PasswordLogin, end_point: bytes | None = None) -> Challenger:
    """Play Postgres up to the client's proof."""
    asked = Challenger("ada", ServerExchange(CHALLENGE, VERIFIER, end_point))
    answer = asked.offer()
    while not asked.ended:
        answer = asked.receive(login.receive(answer))
    return asked


@pytest.mark.parametrize("end_point", [None, END_POINT])
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_the_verifier_is_learned(end_point: bytes | None, chunk: int) -> None:
    login = PasswordLogin("ada", b"pencil", end_point)
    asked = ask(login, end_point)
    assert isinstance(asked.outcome, Proven)
    notice = NoticeResponse((("M", "hm"),)).encode()
    final = AuthenticationSaslFinal(asked.outcome.server_final).encode()
    stream = notice + final + OK + SETTINGS + READY
    for at in range(0, len(stream), chunk):
        assert login.verifier is None
        assert login.receive(stream[at : at + chunk]) == b""
    assert login.verifier == VERIFIER


def test_the_password_is_prepared() -> None:
    password = "pass\u00a0wörd"
    login = PasswordLogin("ada", password.encode(), None)
    verifier = Verifier.of_keys(keys_of_password("pass wörd".encode(), *CHALLENGE), CHALLENGE)
    asked = Challenger("ada", ServerExchange(CHALLENGE, verifier, None))
    answer = asked.offer()
    while not asked.ended:
        answer = asked.receive(login.receive(answer))
    assert isinstance(asked.outcome, Proven)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK + SETTINGS + READY, "lets ada in without asking for a password"),
        (AuthenticationMd5Password(b"salt").encode(), "the password of ada is stored as one"),
        (AuthenticationCleartextPassword().encode(), "Postgres asks for the password itself"),
        (frame(ord("R"), b"\0\0\0\x07"), "something else than a password"),
        (AuthenticationSasl(("OAUTHBEARER",)).encode(), "does not offer SCRAM-SHA-256"),
        (error_response("FATAL", "28P01", "no", hint="none").encode(), "no: it is wrong, or has expired"),
        (error_response("FATAL", "28000", "no entry").encode(), "^Postgres refuses: no entry$"),
        (error_response("FATAL", "3D000", "absent", hint="Make it.").encode(), r"absent \(Make it.\)"),
        (b"HTTP/1.1 400 Bad Request", "does not speak Postgres's protocol"),
        (frame(ord("R"), b"\0"), "does not speak Postgres's protocol"),
        (b"R\x7f\xff\xff\xff", "does not speak Postgres's protocol"),
    ],
)
def test_a_server_that_does_not_ask_for_scram(answer: bytes, why: str) -> None:
    with pytest.raises(LoginFailed, match=why):
        PasswordLogin("ada", b"pencil", None).receive(answer)


def test_a_server_that_has_not_signed_lets_nobody_in() -> None:
    """It asks, and then says that all is well: it may be anybody, and has learned a proof to guess passwords with."""
    login = PasswordLogin("ada", b"pencil", None)
    ask(login)
    with pytest.raises(LoginFailed, match="AuthenticationOk out of turn"):
        login.receive(OK + SETTINGS + READY)
    assert login.verifier is None


def test_a_server_that_signs_wrongly_neither() -> None:
    login = PasswordLogin("ada", b"pencil", None)
    ask(login)
    with pytest.raises(LoginFailed, match="does not know the password"):
        login.receive(AuthenticationSaslFinal(b"v=" + b"A" * 43 + b"=").encode() + OK + SETTINGS + READY)
    assert login.verifier is None


def test_iterations_without_end_are_not_computed() -> None:
    login = PasswordLogin("ada", b"pencil", None)
    first = login.receive(AuthenticationSasl((MECHANISM,)).encode())
    nonce = first.rpartition(b"r=")[2]
    challenge = AuthenticationSaslContinue(b"r=%btheirs,s=AAAA,i=2000000000" % nonce).encode()
    with pytest.raises(LoginFailed, match="wants 2000000000 iterations"):
        login.receive(challenge)


def test_a_session_that_postgres_ends_after_all() -> None:
    """The password is right, and the role may not log in, or not to this database."""
    login = PasswordLogin("ada", b"pencil", None)
    asked = ask(login)
    assert isinstance(asked.outcome, Proven)
    refused = error_response("FATAL", "28000", 'role "ada" is not permitted to log in').encode()
    with pytest.raises(LoginFailed, match="not permitted to log in"):
        login.receive(AuthenticationSaslFinal(asked.outcome.server_final).encode() + OK + refused)


def test_no_repr_shows_the_password() -> None:
    assert "pencil" not in repr(PasswordLogin("ada", b"pencil", None))
