"""Channel binding, which a relayed login cannot have: noticed before Postgres sees it, so that the error can say why.

A client under TLS binds its SCRAM exchange to the certificate that it sees: the proxy's. A Postgres that is under TLS
too compares with its own, and refuses as it would refuse a man in the middle, which is what the proxy is to it. Pure.
"""

from services.shared.pgwire.authentication import SaslInitialResponse
from services.shared.pgwire.codes import FrontendCode
from services.shared.pgwire.errors import ProtocolViolation
from services.shared.pgwire.framing import AUTH_MESSAGE_LIMIT, HEADER_BYTES, HEADER_UNPACK

_BINDING_MECHANISM = "SCRAM-SHA-256-PLUS"
_COULD_BIND = b"y,"  # RFC 5802, gs2-cbind-flag: the client can bind and thinks that the server cannot


class BindingGuard:
    """Looks at the client's first answer. For a client under TLS in front of a Postgres under TLS.

    Attributes:
        bound: The answer binds the login to the proxy's TLS: it has not been passed on, and cannot succeed.
    """

    __slots__ = ("_held", "_seen", "bound")

    def __init__(self) -> None:
        self._held = b""
        self._seen = False
        self.bound = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the client once Postgres has asked for SASL; return what may go on to Postgres."""
        if self._seen:
            return data
        held = self._held = self._held + data
        if len(held) < HEADER_BYTES:
            return b""
        code, length = HEADER_UNPACK(held, 0)
        if code == FrontendCode.PASSWORD and length <= AUTH_MESSAGE_LIMIT and len(held) < 1 + length:
            return b""
        self._seen = True
        self._held = b""
        self.bound = code == FrontendCode.PASSWORD and _binds(held[HEADER_BYTES : 1 + length])
        return b"" if self.bound else held


def _binds(body: bytes) -> bool:
    try:
        response = SaslInitialResponse.read(body)
    except ProtocolViolation:
        return False  # Postgres says what is wrong with it
    return response.mechanism == _BINDING_MECHANISM or (response.data or b"").startswith(_COULD_BIND)
