"""Start-up and authentication, relayed: Postgres itself decides who may come in. Pure.

No client's password is configured here. The proxy only watches: it learns that Postgres let the client in, whether it
asked for anything, and holds back the first ReadyForQuery while it asks for the session's state.

One message is not passed on as it is. A Postgres under TLS offers SCRAM with channel binding; libpq takes that, on a
connection in the clear, for an attack and leaves. Such a client is shown the offer without it. Nothing is weakened: it
could not have bound anything, and says so in the exchange, which Postgres checks.
"""

from services.shared.pgwire.authentication import AuthenticationSasl, read_authentication_request
from services.shared.pgwire.codes import BackendCode
from services.shared.pgwire.fields import FieldReader

_AUTHENTICATION, _READY = int(BackendCode.AUTHENTICATION), int(BackendCode.READY_FOR_QUERY)
_BACKEND_KEY = int(BackendCode.BACKEND_KEY_DATA)
_BODY_AT = 5
_AUTHENTICATION_OK = 0
_SASL = 10
_BINDING_SUFFIX = "-PLUS"  # of the mechanisms that bind a login to its TLS channel
_SASL_FINAL = 12  # comes before AuthenticationOk and asks for nothing


class Handshake:
    """What Postgres says until the session is ready.

    Attributes:
        asked_sasl: Postgres asked the client for SASL (SCRAM).
        offer: The mechanisms without channel binding, for the client in place of what Postgres offered; else empty.
        challenged: Postgres asked the client to prove itself.
        admitted: Postgres let the client in.
        ready: The first ReadyForQuery has come; it was held back.
        backend_key: Process id and cancel key of the session, as Postgres gave them; empty if it gave none. A secret.
    """

    __slots__ = (
        "_allow_unchallenged", "_hide_binding", "admitted", "asked_sasl", "backend_key", "challenged", "offer", "ready",
        "unprotected",
    )  # fmt: skip

    def __init__(self, *, allow_unchallenged: bool, hide_binding: bool = False) -> None:
        """Watch one handshake.

        Args:
            allow_unchallenged: Whether a client may come in without proving itself. Postgres may trust this host's
                address; whoever reaches the proxy from elsewhere must not inherit that (hazard H46). It may also know
                the proxy's own certificate (`cert` in pg_hba.conf): that proves nothing of any client.
            hide_binding: The client is in the clear and Postgres is not: see above.
        """
        self._allow_unchallenged = allow_unchallenged
        self._hide_binding = hide_binding
        self.offer = b""
        self.backend_key = b""
        self.asked_sasl = False
        self.challenged = False
        self.admitted = False
        self.ready = False
        self.unprotected = False

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """See one whole message; tell whether the client sees it."""
        if kind == _AUTHENTICATION:
            code = int.from_bytes(data[start + _BODY_AT : start + _BODY_AT + 4], "big")
            if code not in (_AUTHENTICATION_OK, _SASL_FINAL):
                self.challenged = True
                if code == _SASL:
                    self.asked_sasl = True
                    self.offer = self._without_binding(data[start + _BODY_AT : end]) if self._hide_binding else b""
                    return not self.offer
            elif code == _AUTHENTICATION_OK:
                self.admitted = True
                self.unprotected = not self.challenged and not self._allow_unchallenged
        elif kind == _BACKEND_KEY:
            self.backend_key = data[start + _BODY_AT : end]
        elif kind == _READY and not self.ready:
            self.ready = True
            return False
        return not self.unprotected

    def _without_binding(self, body: bytes) -> bytes:
        request = read_authentication_request(FieldReader(body))
        assert isinstance(request, AuthenticationSasl)
        kept = tuple(name for name in request.mechanisms if not name.endswith(_BINDING_SUFFIX))
        return AuthenticationSasl(kept).encode() if kept and kept != request.mechanisms else b""

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Nothing bulky belongs here; it goes on to the client."""
        return not self.unprotected
