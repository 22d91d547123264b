"""Passwords made ready: the examples of RFC 4013, and where Postgres is more lenient.

That any password at all comes out as libpq has it is shown in tests/property/test_scram.py.
"""

import pytest

from services.proxy.scram.saslprep import prepare_password


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("pencil", "pencil"),
        ("I\u00adX", "IX"),  # RFC 4013 section 3: a soft hyphen is mapped to nothing
        ("user", "user"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("pass\u00a0word", "pass word"),
        ("\u0627\u0031", "\u0627\u0031"),  # from right to left, and does not end so: as it is
        ("\u0627\u0627", "\u0627\u0627"),
        ("\u0627a\u0627", "\u0627a\u0627"),
        ("a\x07b", "a\x07b"),  # ASCII is never looked at, control characters neither
        ("ü\x07", "ü\x07"),  # forbidden: as it is
        ("u\u0308", "ü"),
        ("u\u0308\x07", "u\u0308\x07"),
        ("\u00ad", "\u00ad"),  # nothing would be left
        ("\U0001f600ª", "\U0001f600ª"),  # not in Unicode 3.2: as it is
    ],
)
def test_a_password_is_prepared(password: str, prepared: str) -> None:
    assert prepare_password(password.encode()) == prepared.encode()


@pytest.mark.parametrize("password", [b"\xff", b"p\xe4ss", b"\xed\xa0\x80", b""])
def test_what_is_not_utf8_stays_as_it_is(password: bytes) -> None:
    assert prepare_password(password) == password
