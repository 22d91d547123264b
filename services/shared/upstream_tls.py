"""How we speak TLS to Postgres: what libpq would do with the same `sslmode` and files.

A server's certificate is looked at as soon as there are roots to look at it with, in whatever mode; `verify-ca` and
`verify-full` insist on them, and `verify-full` compares the host's name too.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from services.shared.runtime.refusal import Refusal
from services.shared.runtime.upstream import Upstream

ALPN_PROTOCOL = "postgresql"
"""What both sides of a TLS connection say that they speak inside it."""


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """What TLS connections to Postgres are made with.

    Attributes:
        context: Makes them.
        shows_certificate: They show a certificate of ours, which Postgres may take for a proof of who is there.
    """

    context: ssl.SSLContext = field(repr=False)
    shows_certificate: bool


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificates are: where the URL says, else where libpq looks."""

    roots: Path
    certificate: Path
    key: Path


def tls_files(upstream: Upstream) -> TlsFiles:
    """Return the files that `make_upstream_tls` reads, as far as they exist."""
    return TlsFiles(
        upstream.sslrootcert or _at_home("root.crt"),
        upstream.sslcert or _at_home("postgresql.crt"),
        upstream.sslkey or _at_home("postgresql.key"),
    )


def make_upstream_tls(upstream: Upstream, *, show_certificate: bool = True) -> UpstreamTls:
    """Read the files.

    Args:
        upstream: The server.
        show_certificate: Whether to show our certificate where there is one.

    Raises:
        Refusal: They cannot be used. The message names the parameter of the URL.
    """
    files = tls_files(upstream)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN_PROTOCOL])
    _trust(context, upstream, files.roots)
    shown = show_certificate and (upstream.sslcert is not None or files.certificate.exists())
    if shown:
        _show(context, files.certificate, files.key)
    return UpstreamTls(context, shown)


def asyncpg_context(upstream: Upstream) -> ssl.SSLContext | None:
    """Return the context for a connection of asyncpg, where that does not understand the URL as we do; else None.

    Raises:
        Refusal: As `make_upstream_tls`.
    """
    return make_upstream_tls(upstream).context if upstream.trusts_system_roots else None


def _at_home(name: str) -> Path:
    try:
        home = Path.home()
    except RuntimeError:  # a container's user may have none
        home = Path("/nonexistent")
    return home / ".postgresql" / name


def _trust(context: ssl.SSLContext, upstream: Upstream, roots: Path) -> None:
    mode = upstream.sslmode
    context.check_hostname = mode == "verify-full"
    if upstream.trusts_system_roots:
        context.load_default_certs()
        return
    if not mode.startswith("verify") and not (upstream.sslrootcert or roots.exists()):
        context.verify_mode = ssl.CERT_NONE
        return
    try:
        context.load_verify_locations(roots)
    except FileNotFoundError as error:
        raise Refusal(
            f"sslrootcert of TIDEGATE_DATABASE_URL: {roots} does not exist. Name the certificate of the authority that "
            "signed the server's, or sslrootcert=system."
        ) from error
    except (OSError, ssl.SSLError) as error:
        raise Refusal(f"sslrootcert of TIDEGATE_DATABASE_URL: {roots} cannot be used ({_reason(error)}).") from error


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    def no_password() -> str:
        raise ValueError("the key is encrypted, which is not supported")

    for parameter, path in (("sslcert", certificate), ("sslkey", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise Refusal(f"{parameter} of TIDEGATE_DATABASE_URL: {path} cannot be read ({error.strerror}).") from error
    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except (OSError, ValueError) as error:
        raise Refusal(
            f"sslcert and sslkey of TIDEGATE_DATABASE_URL: {certificate} and {key} cannot be used ({_reason(error)})."
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (
            "it is not the certificate's key" if error.reason == "KEY_VALUES_MISMATCH" else str(error.reason or error)
        )
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
