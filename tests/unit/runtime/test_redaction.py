"""No password survives masking, in any of the shapes in which passwords travel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.runtime.redaction import is_secret_name, mask_secrets


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:hunter2@db/shop", "postgresql://app:***@db/shop"),
        ("could not reach redis://:hunter2@r:6379/0, retrying", "could not reach redis://:***@r:6379/0, retrying"),
        ("postgresql+psycopg://app:hun/ter:2@x@db/shop", "postgresql+psycopg://app:***@db/shop"),
        ("host=db password=hunter2 user=app", "host=db password=*** user=app"),
        ("host=db password='hunter 2' user=app", "host=db password=*** user=app"),
        ("?sslmode=require&password=hunter2&user=a", "?sslmode=require&password=***&user=a"),
        ('{"password": "hunter2", "user": "app"}', '{"password": ***, "user": "app"}'),
        ("{'sasl_plain_password': 'hunter2'}", "{'sasl_plain_password': ***}"),
        ("ALTER ROLE app PASSWORD 'hunter''2'", "ALTER ROLE app PASSWORD ***"),
        ("PGPASSWORD=hunter2", "PGPASSWORD=***"),
    ],
)
def test_passwords_are_masked(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app@db:5432/shop",
        "commit 16/B374D848 at 12:30",
        "http://127.0.0.1:8080/metrics",
        "password policy",
    ],
)
def test_what_holds_no_password_is_left_alone(text: str) -> None:
    assert mask_secrets(text) == text


@given(
    before=st.text(max_size=10),
    password=st.text(st.characters(exclude_characters="'\"", exclude_categories=("Z", "C")), min_size=8, max_size=20),
)
def test_a_password_in_a_url_never_survives(before: str, password: str) -> None:
    masked = mask_secrets(f"{before} postgresql://app:{password}@db/shop after")
    assert f":{password}@" not in masked
    assert masked.endswith("@db/shop after")


def test_masking_twice_changes_nothing() -> None:
    once = mask_secrets("redis://:hunter2@r/0 password='x y' postgresql://a:b@c/d")
    assert mask_secrets(once) == once


def test_secret_names() -> None:
    assert all(map(is_secret_name, ["password", "PGPASSWORD", "client_secret", "token", "sasl_plain_password"]))
    assert not any(map(is_secret_name, ["table", "token_scope", "relation", "key"]))
