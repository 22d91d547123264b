"""A certificate for the proxy that nobody has signed but itself: TLS out of the box, as far as `sslmode=require` goes.

It keeps others from listening, and proves nothing: a client that wants to know whom it speaks to (`verify-full`) needs
a certificate of an authority that it trusts, or this one as its `sslrootcert`.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.standalone.data_directory import write_private

_VALID = dt.timedelta(days=3650)
_RENEWED_BEFORE_END = dt.timedelta(days=30)
_CLOCKS_DIFFER = dt.timedelta(days=1)  # for clients whose clock is behind
_EVERYWHERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Pair:
    """The files."""

    certificate: Path
    key: Path


def self_signed_pair(folder: Path, listen_host: str) -> Pair:
    """Return the pair of a data directory; it is made at the first start, and anew when it no longer fits.

    Args:
        folder: Where it is kept.
        listen_host: Where the proxy listens; one of the names that the certificate is for.

    Raises:
        OSError: The folder cannot be written in.
    """
    pair = Pair(folder / "tls.crt", folder / "tls.key")
    names = _names(listen_host)
    if not _fits(pair, names):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(key, names)
        write_private(pair.key, _pem_of_key(key))
        write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM).decode())
    return pair


def _names(listen_host: str) -> list[x509.GeneralName]:
    wildcard = listen_host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    hosts = dict.fromkeys((*_EVERYWHERE, *(() if wildcard else (listen_host,))))
    return [_general_name(host) for host in hosts]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _fits(pair: Pair, names: list[x509.GeneralName]) -> bool:
    """Whether there is a pair that can go on being used."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    now = dt.datetime.now(dt.UTC)
    lasts = certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEWED_BEFORE_END
    return lasts and certificate.public_key() == key.public_key() and set(names) <= set(known)


def _certificate(key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName]) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tidegate (self-signed)")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
