"""Why Postgres could not be reached, in words for the client: what is wrong and which setting would help. Pure."""

from services.shared.runtime.upstream import Upstream

_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


class TlsFailure(OSError):
    """TLS with Postgres failed, or the connection failed because of it. `cause` says how."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class TlsNotOffered(TlsFailure):
    """Postgres was asked for TLS and has none."""

    def __init__(self) -> None:
        super().__init__(ConnectionError("the server does not offer TLS"))


def explain(upstream: Upstream, error: OSError, setting: str = "database_url") -> tuple[str, str]:
    """Return message and hint of the error that the client gets.

    Args:
        upstream: The server.
        error: What `Dialler.begin` raised.
        setting: The setting that names the server.
    """
    place = upstream.socket_path or f"{upstream.host}:{upstream.port}"
    url = f"TIDEGATE_{setting.upper()}"
    if isinstance(error, TlsNotOffered):
        return (
            f"Postgres at {place} does not offer TLS, which sslmode={upstream.sslmode} of {url} demands",
            f"Switch ssl on in postgresql.conf, or set a weaker sslmode in {url}.",
        )
    if isinstance(error, TlsFailure):
        reason = _tls_reason(error.cause)
        if getattr(error.cause, "reason", None) == _UNTRUSTED:
            return (
                f"the certificate of Postgres at {place} is not accepted under sslmode={upstream.sslmode}: {reason}",
                f"Correct sslrootcert, the host's name or sslmode in {url}, or the server's certificate.",
            )
        return (
            f"TLS with Postgres at {place} failed: {reason}",
            f"The parameters sslmode, sslnegotiation, sslcert and sslkey of {url} say how it is spoken.",
        )
    return (
        f"Postgres at {place} cannot be reached",
        f"The proxy is running. Start Postgres, or correct {url}.",
    )


def _tls_reason(cause: Exception) -> str:
    words = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return str(words).rstrip(".").replace("_", " ") if words else str(cause)
