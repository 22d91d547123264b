"""Binding an exchange to its TLS channel: `tls-server-end-point`, the hash of the server's certificate (RFC 5929).

A man in the middle has another certificate, so the client's proof is of no use to him. The hash is made with the
algorithm that the certificate was signed with, but with SHA-256 in place of MD5 and SHA-1 (RFC 5929 section 4.1). Where
that names no algorithm (Ed25519, Ed448) the RFC defines no binding: none is offered then, and none asked for. Pure.
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from services.proxy.scram.verifier import MECHANISM

BINDING_TYPE: Final = b"tls-server-end-point"
"""The only type that Postgres has."""

MECHANISM_PLUS: Final = f"{MECHANISM}-PLUS"

_TOO_WEAK: Final = (hashes.MD5, hashes.SHA1)


def mechanisms(end_point: bytes | None) -> tuple[str, ...]:
    """Return the mechanisms of a channel, the best first.

    Args:
        end_point: Hash of the server's certificate; None where there is nothing to bind to.
    """
    return (MECHANISM,) if end_point is None else (MECHANISM_PLUS, MECHANISM)


def end_point(certificate: bytes) -> bytes | None:
    """Return the hash of a server's certificate; None where the RFC defines none for it.

    Args:
        certificate: In DER, as `SSLObject.getpeercert(binary_form=True)` gives it.

    Raises:
        ValueError: It is no certificate.
    """
    loaded = x509.load_der_x509_certificate(certificate)
    try:
        algorithm = loaded.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    return loaded.fingerprint(hashes.SHA256() if isinstance(algorithm, _TOO_WEAK) else algorithm)
