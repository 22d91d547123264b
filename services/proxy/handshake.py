"""Start-up and authentication, relayed: Postgres itself decides who may come in. Pure.

No client's password is configured here. The proxy only watches: it learns that Postgres let the client in, whether it
asked for anything, and holds back the first ReadyForQuery while it asks for the session's state.
"""

from services.shared.pgwire.codes import BackendCode

_AUTHENTICATION, _READY = int(BackendCode.AUTHENTICATION), int(BackendCode.READY_FOR_QUERY)
_BODY_AT = 5
_AUTHENTICATION_OK = 0
_SASL_FINAL = 12  # comes before AuthenticationOk and asks for nothing


class Handshake:
    """What Postgres says until the session is ready.

    Attributes:
        challenged: Postgres asked the client to prove itself.
        admitted: Postgres let the client in.
        ready: The first ReadyForQuery has come; it was held back.
    """

    __slots__ = ("_allow_unchallenged", "admitted", "challenged", "ready", "unprotected")

    def __init__(self, *, allow_unchallenged: bool) -> None:
        """Watch one handshake.

        Args:
            allow_unchallenged: Whether a client may come in without proving itself. Postgres may trust this host's
                address; whoever reaches the proxy from elsewhere must not inherit that (hazard H46).
        """
        self._allow_unchallenged = allow_unchallenged
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
            elif code == _AUTHENTICATION_OK:
                self.admitted = True
                self.unprotected = not self.challenged and not self._allow_unchallenged
        elif kind == _READY and not self.ready:
            self.ready = True
            return False
        return not self.unprotected

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Nothing bulky belongs here; it goes on to the client."""
        return not self.unprotected
