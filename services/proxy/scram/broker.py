"""One login that the proxy takes part in: the client proves itself to us, we prove ourselves to Postgres. Pure.

Postgres goes first, the client is asked only once Postgres has asked for SCRAM and named the salt:

    Postgres                      broker                                   client
        <──── start-up packet ──────────────────────────────────────────────
        ──── SASL ────────────────>
        <──── client-first ────────
        ──── server-first ────────>  salt, iterations: which verifier?
                                     ──── SASL ───────────────────────────────>
                                     <──── client-first ───────────────────────
                                     ──── server-first (the same salt) ───────>
                                     <──── client-final: its key ──────────────
        <──── client-final ────────
        ──── server-final, Ok ────>
                                     ──── server-final, Ok (Postgres's) ──────>

So Postgres decides who may come in, as ever. What it refuses before it asks (pg_hba.conf, too many connections) reaches
the client as it came; so does the end of a login that cannot succeed: when the client's proof is wrong, or there is no
verifier to check it with, Postgres is given a proof that nobody's password makes, and says what it says of a wrong
password, writes it to its log, and takes the time that it takes. A user who does not exist has the salt that Postgres
makes up for such a name: nothing that a client sees tells whether we know the user.
"""

from enum import Enum, auto
from typing import Final

from services.proxy.scram.challenger import Challenger
from services.proxy.scram.client import ClientExchange
from services.proxy.scram.errors import ServerUnproven, wrong_password
from services.proxy.scram.keys import Keys, nobodys_keys
from services.proxy.scram.server import Proven, ServerExchange
from services.proxy.scram.verifier import MECHANISM, Challenge, Verifier
from services.shared.pgwire.authentication import (
    AuthenticationOk,
    AuthenticationSasl,
    AuthenticationSaslContinue,
    AuthenticationSaslFinal,
    SaslInitialResponse,
)
from services.shared.pgwire.backend import BackendMessage, decode_backend
from services.shared.pgwire.codes import BackendCode, FrontendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import HEADER_BYTES, frame
from services.shared.pgwire.notice import ErrorResponse, error_response
from services.shared.pgwire.sqlstate import Sqlstate

_AUTHENTICATION, _READY = int(BackendCode.AUTHENTICATION), int(BackendCode.READY_FOR_QUERY)
_ERROR, _BACKEND_KEY = int(BackendCode.ERROR_RESPONSE), int(BackendCode.BACKEND_KEY_DATA)
_PASSING = (int(BackendCode.NOTICE_RESPONSE), int(BackendCode.NEGOTIATE_PROTOCOL_VERSION))

_UNSUITABLE: Final = (
    f"With auth = scram, Postgres has to ask this proxy for {MECHANISM}: let pg_hba.conf say scram-sha-256 for the "
    "proxy's host, and set passwords under password_encryption = 'scram-sha-256'."
)


class Stage(Enum):
    """What is awaited."""

    REQUEST = auto()  # Postgres asks for something
    CHALLENGE = auto()  # Postgres names salt and iterations
    VERIFIER = auto()  # the shell looks it up
    PROOF = auto()  # the client chooses a mechanism and proves itself
    SIGNATURE = auto()  # Postgres proves itself
    ADMISSION = auto()
    ADMITTED = auto()
    REFUSED = auto()


class Broker:
    """The authentication phase of one client's connection; a sink of the `BackendRelay` that cuts what Postgres sends.

    After each call the shell sends what `take_for_client` and `take_for_postgres` give; for the client that comes
    before what the relay passed on.

    Attributes:
        stage: What is awaited.
        refusal: Why the login ended here: the shell sends it to the client and closes both sides.
        advice: What whoever runs the proxy should know about that, or nothing; for the log.
        ready: The first ReadyForQuery has come; it was held back.
        backend_key: Process id and cancel key of the session, as Postgres gave them; empty if it gave none. A secret.
    """

    def __init__(self, user: str, *, client_end_point: bytes | None, server_end_point: bytes | None) -> None:
        """Begin, when the client's start-up packet has been handed to Postgres.

        Args:
            user: Who wants to log in, by the start-up packet.
            client_end_point: Hash of our certificate, if the client speaks TLS; see `binding.end_point`.
            server_end_point: Hash of Postgres's certificate, if we speak TLS to it.
        """
        self._user = user
        self._client_end_point = client_end_point
        self._server_end_point = server_end_point
        self._exchange: ClientExchange | None = None
        self._challenge: Challenge | None = None
        self._challenger: Challenger | None = None
        self._verifier: Verifier | None = None
        self._server_final: bytes | None = None  # for the client, once Postgres has signed; None: its proof was wrong
        self._for_client: list[bytes] = []
        self._for_postgres: list[bytes] = []
        self.stage = Stage.REQUEST
        self.refusal: ErrorResponse | None = None
        self.advice = ""
        self.ready = False
        self.backend_key = b""

    @property
    def wanted(self) -> Challenge | None:
        """The challenge whose verifier is awaited: the shell looks it up and calls `use`."""
        return self._challenge if self.stage is Stage.VERIFIER else None

    @property
    def early(self) -> bytes:
        """What the client sent ahead, behind its proof: the session's first bytes."""
        return self._challenger.early if self._challenger is not None else b""

    def take_for_client(self) -> bytes:
        """Give out what is to be sent to the client."""
        taken, self._for_client = b"".join(self._for_client), []
        return taken

    def take_for_postgres(self) -> bytes:
        """Give out what is to be sent to Postgres."""
        taken, self._for_postgres = b"".join(self._for_postgres), []
        return taken

    # -- the client's side

    def use(self, verifier: Verifier | None) -> None:
        """Ask the client, now that the verifier for the wanted challenge is known.

        Args:
            verifier: None where there is none: the client is asked all the same.
        """
        if self._challenge is None or self.stage is not Stage.VERIFIER:
            return  # Postgres has given up in the meantime
        self._verifier = verifier
        self._challenger = Challenger(self._user, ServerExchange(self._challenge, verifier, self._client_end_point))
        self._for_client.append(self._challenger.offer())
        self.stage = Stage.PROOF

    def client_received(self, data: bytes) -> None:
        """Take bytes from the client; it has nothing to say but in the stage PROOF."""
        assert self._challenger is not None
        self._for_client.append(self._challenger.receive(data))
        if self._challenger.refusal is not None:
            self._refuse(self._challenger.refusal)
        elif self._challenger.outcome is not None:
            self._prove(self._challenger.outcome if isinstance(self._challenger.outcome, Proven) else None)

    def _prove(self, proven: Proven | None) -> None:
        """Prove to Postgres what the client has proven to us, or have it refuse who has not."""
        assert self._exchange is not None
        keys = nobodys_keys()
        if proven is not None:
            assert self._verifier is not None
            keys = Keys(proven.client_key, self._verifier.server_key)
            self._server_final = proven.server_final
        self._for_postgres.append(frame(FrontendCode.PASSWORD, self._exchange.prove(keys)))
        self.stage = Stage.SIGNATURE

    # -- Postgres's side: a sink of the relay

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message of Postgres; tell whether the client sees it."""
        if self.stage is Stage.ADMITTED:
            if kind == _BACKEND_KEY:
                self.backend_key = data[start + HEADER_BYTES : end]
            held_back = kind == _READY and not self.ready
            self.ready = self.ready or held_back
            return not held_back
        if self.stage is Stage.REFUSED:
            return False
        if kind == _AUTHENTICATION:
            return self._authentication(data, start, end)
        if kind == _ERROR:
            self.stage = Stage.REFUSED
            return True
        if kind not in _PASSING:
            self._distrust(f"it sent a message of type {chr(kind)!r} before it let anybody in")
        return kind in _PASSING

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Nothing bulky belongs here."""
        if self.stage is not Stage.ADMITTED:
            self._distrust(f"it sent a long message of type {chr(kind)!r} before it let anybody in")
        return self.stage is Stage.ADMITTED

    def _authentication(self, data: bytes, start: int, end: int) -> bool:
        try:
            return self._answer(decode_backend(data, start, end))
        except ProtocolViolation as violation:
            self._distrust(f"it broke the protocol: {violation.message}")
        except ServerUnproven as error:
            self._distrust(str(error))
        return False

    def _answer(self, request: BackendMessage) -> bool:
        match self.stage, request:
            case Stage.REQUEST, AuthenticationSasl():
                self._exchange = ClientExchange(request.mechanisms, self._server_end_point)
                response = SaslInitialResponse(self._exchange.mechanism, self._exchange.first())
                self._for_postgres.append(response.encode())
                self.stage = Stage.CHALLENGE
            case Stage.REQUEST, _:
                self._refuse_unsuitable(request)
            case Stage.CHALLENGE, AuthenticationSaslContinue() if self._exchange is not None:
                self._challenge = self._exchange.read_challenge(request.data)
                self.stage = Stage.VERIFIER
            case Stage.SIGNATURE, AuthenticationSaslFinal() if self._exchange is not None:
                self._take_signature(self._exchange, request.data)
            case Stage.ADMISSION, AuthenticationOk():
                self.stage = Stage.ADMITTED
                return True
            case _:
                raise ServerUnproven(f"it sent {type(request).__name__} out of turn")
        return False

    def _take_signature(self, exchange: ClientExchange, data: bytes) -> None:
        exchange.check(data)
        if self._server_final is None:  # it signed for a password that is nobody's
            self._refuse(wrong_password(self._user))
            return
        self._for_client.append(AuthenticationSaslFinal(self._server_final).encode())
        self.stage = Stage.ADMISSION

    def _refuse_unsuitable(self, request: BackendMessage) -> None:
        asked = type(request).__name__.removeprefix("Authentication")
        does = "admits this proxy without a password" if asked == "Ok" else f"asks this proxy for {asked}"
        message = f'tidegate: Postgres {does}, so user "{self._user}" cannot log in by {MECHANISM}'
        self.advice = f"{message.removeprefix('tidegate: ')}. {_UNSUITABLE}"
        self._refuse(error_response("FATAL", Sqlstate.INVALID_AUTHORIZATION_SPECIFICATION, message, hint=_UNSUITABLE))

    def _distrust(self, reason: str) -> None:
        message = f"tidegate: what answers as Postgres cannot be trusted: {reason}"
        self.advice = message.removeprefix("tidegate: ")
        self._refuse(error_response("FATAL", Sqlstate.CONNECTION_FAILURE, message))

    def _refuse(self, response: ErrorResponse) -> None:
        self.refusal = response
        self.stage = Stage.REFUSED
