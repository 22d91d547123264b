"""The certificate that `tidegate up` makes for itself."""

import ssl
from pathlib import Path

from cryptography import x509

from services.proxy.tls.identity import watch_identity
from services.standalone.self_signed import self_signed_pair


def _names(certificate: Path) -> set[str]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_it_is_for_this_machine_and_for_where_the_proxy_listens(tmp_path: Path) -> None:
    pair = self_signed_pair(tmp_path, "192.0.2.7")

    assert _names(pair.certificate) == {"localhost", "127.0.0.1", "::1", "192.0.2.7"}
    assert pair.key.stat().st_mode & 0o777 == 0o600
    watch_identity(pair.certificate, pair.key)


def test_who_listens_everywhere_has_no_name_for_it(tmp_path: Path) -> None:
    assert _names(self_signed_pair(tmp_path, "::").certificate) == {"localhost", "127.0.0.1", "::1"}


def test_it_is_made_once(tmp_path: Path) -> None:
    first = self_signed_pair(tmp_path, "127.0.0.1").certificate.read_bytes()

    assert self_signed_pair(tmp_path, "localhost").certificate.read_bytes() == first


def test_it_is_made_anew_when_it_no_longer_fits(tmp_path: Path) -> None:
    pair = self_signed_pair(tmp_path, "127.0.0.1")
    first = pair.certificate.read_bytes()

    self_signed_pair(tmp_path, "db.example")
    assert "db.example" in _names(pair.certificate)

    for path, content in ((pair.key, b"no key"), (pair.certificate, first), (pair.certificate, b"")):
        path.write_bytes(content)
        again = self_signed_pair(tmp_path, "db.example")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(again.certificate, again.key)
        assert "db.example" in _names(again.certificate)
