"""The hash of a certificate that an exchange is bound to (RFC 5929, section 4.1)."""

import datetime as dt
import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from services.proxy.scram.binding import end_point, mechanisms

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
"""Keys that sign certificates here."""


def certificate(
    key: Key, algorithm: hashes.HashAlgorithm | None, *, pss: bool = False, encoding: Encoding = Encoding.DER
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1)
    )
    scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH) if pss and algorithm else None
    return builder.sign(key, algorithm, rsa_padding=scheme).public_bytes(encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "algorithm", "expected"),
    [
        (RSA_KEY, hashes.SHA256(), hashlib.sha256),
        (RSA_KEY, hashes.SHA384(), hashlib.sha384),
        (RSA_KEY, hashes.SHA512(), hashlib.sha512),
        (RSA_KEY, hashes.SHA3_256(), hashlib.sha3_256),
        (EC_KEY, hashes.SHA384(), hashlib.sha384),
        (EC_KEY, hashes.SHA224(), hashlib.sha224),
    ],
)
def test_the_hash_is_that_of_the_signature_unless_it_is_weak(
    key: Key, algorithm: hashes.HashAlgorithm, expected: Callable[[bytes], "hashlib._Hash"]
) -> None:
    der = certificate(key, algorithm)
    assert end_point(der) == expected(der).digest()


@pytest.mark.parametrize("last_byte", [4, 5], ids=["md5", "sha1"])
def test_a_weak_hash_is_replaced(last_byte: int) -> None:
    """Nothing here signs with these any more; the name of the algorithm is what counts, and that can be written in."""
    arc = bytes.fromhex("2a864886f70d0101")
    der = certificate(RSA_KEY, hashes.SHA512())
    assert der.count(arc + b"\x0d") == 2
    weak = der.replace(arc + b"\x0d", arc + bytes((last_byte,)))
    assert end_point(weak) == hashlib.sha256(weak).digest()


def test_rsa_pss_names_its_hash_in_its_parameters() -> None:
    der = certificate(RSA_KEY, hashes.SHA512(), pss=True)
    assert end_point(der) == hashlib.sha512(der).digest()


def test_a_signature_without_a_hash_binds_nothing() -> None:
    assert end_point(certificate(ED_KEY, None)) is None
    assert mechanisms(None) == ("SCRAM-SHA-256",)


@pytest.mark.parametrize("der", [b"", b"no certificate", certificate(EC_KEY, hashes.SHA256())[:-1]])
def test_no_certificate(der: bytes) -> None:
    with pytest.raises(ValueError, match="asn1"):
        end_point(der)
