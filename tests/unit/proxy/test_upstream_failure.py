"""What a client reads when Postgres cannot be reached."""

import ssl

from services.proxy.upstream.failure import TlsFailure, TlsNotOffered, explain
from services.shared.runtime.upstream import parse_upstream

_UPSTREAM = parse_upstream("postgresql://app:hunter2@db:5433/shop?sslmode=verify-full&sslrootcert=/etc/root.crt")


def _untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    error.verify_message = "self-signed certificate"
    return error


def test_each_failure_names_the_place_and_what_to_set() -> None:
    for error, words in (
        (TlsNotOffered(), "does not offer TLS, which sslmode=verify-full of TIDEGATE_DATABASE_URL demands"),
        (TlsFailure(_untrusted()), "self-signed certificate"),
        (TlsFailure(ConnectionResetError("closed in the middle")), "closed in the middle"),
        (ConnectionRefusedError(111, "refused"), "cannot be reached"),
        (TimeoutError(), "cannot be reached"),
    ):
        message, hint = explain(_UPSTREAM, error)
        assert "db:5433" in message
        assert words in message
        assert "TIDEGATE_DATABASE_URL" in hint
        assert "hunter2" not in message + hint


def test_a_certificate_that_is_not_accepted_sends_to_the_roots() -> None:
    assert "sslrootcert" in explain(_UPSTREAM, TlsFailure(_untrusted()))[1]


def test_a_unix_socket_is_named_by_its_path() -> None:
    upstream = parse_upstream("postgresql://app@/shop?host=/run/postgresql")
    assert "/run/postgresql/.s.PGSQL.5432" in explain(upstream, FileNotFoundError())[0]
