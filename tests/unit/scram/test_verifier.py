"""Verifiers as Postgres writes them, and that nothing shows what is in them."""

import pytest

from services.proxy.scram.keys import Keys
from services.proxy.scram.server import Proven
from services.proxy.scram.verifier import InvalidVerifier, Verifier
from tests.unit.scram.exchanges import CHALLENGE, KEYS, VERIFIER

KEY = "A" * 43 + "="
WRITTEN = (
    "SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$"
    f"{KEY}:{KEY}"
)  # fmt: skip


def test_a_verifier_is_read_and_written() -> None:
    verifier = Verifier.parse(WRITTEN)
    assert verifier.challenge == (CHALLENGE.salt, 4096)
    assert verifier.format() == WRITTEN
    assert Verifier.parse(VERIFIER.format()) == VERIFIER


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no SCRAM-SHA-256 verifier"),
        ("hunter2", "no SCRAM-SHA-256 verifier"),
        ("md5" + "0a" * 16, "an MD5 hash"),
        (WRITTEN.replace("256", "512", 1), "no SCRAM-SHA-256 verifier"),
        (WRITTEN.replace("4096", "-1"), "no SCRAM-SHA-256 verifier"),
        (WRITTEN.replace("4096", "٤"), "no SCRAM-SHA-256 verifier"),
        (WRITTEN.replace("4096", "0"), "wrong size"),
        (WRITTEN.replace("4096", "9999999999"), "wrong size"),
        (WRITTEN + "\n", "not base64"),
        (WRITTEN + "$", "no SCRAM-SHA-256 verifier"),
        (WRITTEN.replace("AAEC", "A EC"), "not base64"),
        (WRITTEN.replace(KEY, "é" * 4), "not base64"),
        (WRITTEN.replace(KEY, "AAAA"), "wrong size"),
        (WRITTEN[:-2], "not base64"),
    ],
)
def test_anything_else_is_named_and_not_repeated(text: str, what: str) -> None:
    with pytest.raises(InvalidVerifier, match=what) as refused:
        Verifier.parse(text)
    assert "hunter2" not in str(refused.value)
    assert "AAAA" not in str(refused.value)


def test_no_repr_shows_a_key() -> None:
    shown = repr([VERIFIER, KEYS, Proven(KEYS.client_key, b"v=secret")])
    for secret in (VERIFIER.salt, VERIFIER.stored_key, VERIFIER.server_key, KEYS.client_key, b"secret"):
        assert repr(secret)[2:-1] not in shown
    assert "iterations=100" in shown


def test_a_verifier_is_made_of_keys() -> None:
    assert Verifier.of_keys(Keys(KEYS.client_key, KEYS.server_key), CHALLENGE) == VERIFIER
