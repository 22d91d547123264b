"""Who the proxy is to its clients: a certificate and its key, from the files that the settings name."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from services.proxy.tls.watched_files import WatchedFiles
from services.shared.runtime.refusal import Refusal
from services.shared.upstream_tls import ALPN_PROTOCOL


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """One certificate in use.

    Attributes:
        context: Makes TLS connections with it.
        certificate: The certificate itself (DER): what channel binding binds a login to (`tls-server-end-point`).
    """

    context: ssl.SSLContext = field(repr=False)
    certificate: bytes = field(repr=False)


def watch_identity(certificate: Path, key: Path) -> WatchedFiles[TlsIdentity]:
    """Read a certificate and its key now, and again whenever one of the files has changed.

    Raises:
        Refusal: They cannot be read, or do not belong together. The message names the setting.
    """
    return WatchedFiles((certificate, key), lambda: _read_identity(certificate, key))


def _read_identity(certificate: Path, key: Path) -> TlsIdentity:
    pem = _read("TIDEGATE_TLS_CERTIFICATE", certificate)
    _read("TIDEGATE_TLS_KEY", key)
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        first = pem[pem.index(begin) : pem.index(end) + len(end)]
        certificate_der = ssl.PEM_cert_to_DER_cert(first)
    except ValueError as error:
        raise Refusal(f"TIDEGATE_TLS_CERTIFICATE = {certificate}: it holds no certificate in PEM form.") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As Postgres: no renegotiation, and no tickets, since no client of Postgres resumes a session.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols([ALPN_PROTOCOL])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise Refusal(_explain(certificate, key, error)) from error
    return TlsIdentity(context, certificate_der)


def _read(setting: str, path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise Refusal(f"{setting} = {path}: it cannot be read ({error.strerror}).") from error


def _no_password() -> str:
    """Answer in place of a person at a terminal, whom OpenSSL would ask."""
    raise ValueError("the key is encrypted")


def _explain(certificate: Path, key: Path, error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if reason == "KEY_VALUES_MISMATCH":
        return f"TIDEGATE_TLS_KEY = {key}: it is not the key of the certificate {certificate}."
    if not isinstance(error, ssl.SSLError):
        return f"TIDEGATE_TLS_KEY = {key}: it is encrypted; write it without a password (openssl pkey -in … -out …)."
    if reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return f"TIDEGATE_TLS_CERTIFICATE = {certificate}: it is too weak to be used ({reason})."
    return f"TIDEGATE_TLS_CERTIFICATE = {certificate}, TIDEGATE_TLS_KEY = {key}: they cannot be used ({error})."
