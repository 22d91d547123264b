"""The certificate that clients see: read, refused by the setting's name, and read again when it is replaced."""

import os
import ssl
from collections.abc import Iterator

import pytest

from services.proxy.tls.identity import watch_identity
from services.shared.runtime.refusal import Refusal
from tests.servers.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    made = Authority()
    yield made
    made.remove()


def _later(pair: Certificate) -> None:
    """Let files that were written just now differ in their times from what they were, on any file system."""
    for path in (pair.certificate, pair.key):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_a_pair_is_read(authority: Authority) -> None:
    pair = authority.issue("db.example")
    identity = watch_identity(pair.certificate, pair.key).current()

    assert identity.certificate == ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
    assert identity.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_first_certificate_of_a_chain_is_the_servers(authority: Authority) -> None:
    pair = authority.issue("db.example")
    own = pair.certificate.read_text()
    pair.certificate.write_text("Some words.\n" + own + authority.certificate.read_text())

    assert watch_identity(pair.certificate, pair.key).current().certificate == ssl.PEM_cert_to_DER_cert(own)


def test_what_is_no_good_is_refused_by_the_name_of_its_setting(authority: Authority) -> None:
    pair, other = authority.issue("db.example"), authority.issue("db.example")
    missing = pair.certificate.with_name("missing")
    encrypted = authority.issue("db.example", password=b"secret")
    broken = authority.issue("db.example")
    broken.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    garbage = authority.issue("db.example")
    garbage.certificate.write_bytes(b"\xff\xfe no certificate")

    for certificate, key, words in (
        (missing, pair.key, "TIDEGATE_TLS_CERTIFICATE = .*cannot be read"),
        (pair.certificate, missing, "TIDEGATE_TLS_KEY = .*cannot be read"),
        (pair.certificate, pair.certificate.parent, "TIDEGATE_TLS_KEY = .*cannot be read"),
        (pair.certificate, other.key, "TIDEGATE_TLS_KEY = .*not the key of the certificate"),
        (encrypted.certificate, encrypted.key, "TIDEGATE_TLS_KEY = .*encrypted"),
        (garbage.certificate, pair.key, "TIDEGATE_TLS_CERTIFICATE = .*no certificate in PEM form"),
        (broken.certificate, pair.key, "TIDEGATE_TLS_CERTIFICATE = "),
        (pair.certificate, pair.certificate, "TIDEGATE_TLS_KEY = "),
    ):
        with pytest.raises(Refusal, match=words):
            watch_identity(certificate, key)


def test_a_renewed_certificate_is_used_from_the_next_handshake_on(authority: Authority) -> None:
    pair = authority.issue("db.example")
    watched = watch_identity(pair.certificate, pair.key)
    before = watched.current()
    assert watched.current() is before

    authority.issue("db.example", into=pair)
    _later(pair)

    assert watched.current().certificate == ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
    assert watched.current() is not before


def test_half_a_renewal_keeps_the_earlier_certificate_until_the_other_half_comes(authority: Authority) -> None:
    pair, renewed = authority.issue("db.example"), authority.issue("db.example")
    watched = watch_identity(pair.certificate, pair.key)
    before = watched.current()

    pair.certificate.write_bytes(renewed.certificate.read_bytes())
    _later(pair)
    assert watched.current() is before

    pair.key.write_bytes(renewed.key.read_bytes())
    _later(pair)
    _later(pair)
    assert watched.current().certificate == ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())
