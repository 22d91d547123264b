"""What is said of a database that cannot be reached."""

import pytest

from services.installation.reaching import explain_failure
from services.shared.runtime.upstream import parse_upstream


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('password authentication failed for user "app" (28P01)', 'The password for the role "app" is wrong.'),
        ("ConnectionRefusedError: [Errno 111] Connect call failed", "Nothing listens at db.example:5433"),
        ('database "shop" does not exist (3D000)', 'There is no database "shop"'),
        ('role "app" does not exist (28000)', 'There is no role "app"'),
        ("TimeoutError: ", "db.example:5433 does not answer"),
        ("ProtocolViolationError: unsupported startup parameter: jit", "A pooler answers at db.example:5433"),
        ("something new", "The database at db.example:5433 cannot be reached: something new"),
    ],
)
def test_a_failed_connection_is_explained(said: str, sentence: str) -> None:
    upstream = parse_upstream("postgresql://app:hunter2@db.example:5433/shop")

    explained = explain_failure(upstream, said)

    assert explained.startswith(sentence)
    assert "hunter2" not in explained


def test_a_password_that_is_missing_is_not_a_wrong_one() -> None:
    upstream = parse_upstream("postgresql://app@db.example/shop")

    assert "put it in the URL" in explain_failure(upstream, 'password authentication failed for user "app"')
