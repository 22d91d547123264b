"""Statements that set something for a transaction, and nothing else: they are told from all that looks like them."""

import pytest

from services.proxy.sql.local_setting import LocalSetting, local_setting
from services.proxy.sql.policy_text import readable_setting
from services.proxy.sql.template import lex


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SET LOCAL app.tenant = '7'", LocalSetting("app.tenant", "7", "")),
        ("set local App.Tenant to 'it''s' ;", LocalSetting("app.tenant", "it's", "")),
        ("SET LOCAL app.tenant=7", LocalSetting("app.tenant", "7", "")),
        ("SET LOCAL app.tenant = 12345678901", LocalSetting("app.tenant", "12345678901", "")),
        ('SET LOCAL "App"."user" = \'\'', LocalSetting("app.user", "", "")),
        ("SET LOCAL request.jwt.claims = '{\"sub\": 1}'", LocalSetting("request.jwt.claims", '{"sub": 1}', "")),
        ("/* a */ SET LOCAL app.tenant = 'x' -- b", LocalSetting("app.tenant", "x", "")),
        ("SELECT set_config('app.tenant', '7', true)", LocalSetting("app.tenant", "7", "set_config")),
        ("select pg_catalog.set_config( 'App.Tenant', $1, TRUE )", LocalSetting("app.tenant", None, "set_config")),
        ("SELECT set_config('app.tenant', $1::text, true) AS t", LocalSetting("app.tenant", None, "t")),
    ],
)
def test_what_is_set(text: str, found: LocalSetting) -> None:
    assert local_setting(lex(text)) == found


@pytest.mark.parametrize(
    "text",
    [
        "SET app.tenant = '7'",
        "SET SESSION app.tenant = '7'",
        "SET LOCAL app.tenant = DEFAULT",
        "SET LOCAL app.tenant = seven",
        "SET LOCAL app.tenant = 'a', 'b'",
        "SET LOCAL app.tenant = 007",
        "SET LOCAL app.tenant = -7",
        "SET LOCAL app.tenant = 1.5",
        "SET LOCAL app.tenant = E'7'",
        "SET LOCAL app.user = '7'",
        "SET LOCAL work_mem = '7'",
        "SET LOCAL role = 'x'",
        "SET LOCAL tidegate.consistency = 'off'",
        "SET LOCAL plpgsql.variable_conflict = 'error'",
        "SET LOCAL \"app.x y\".z = '7'",
        "SET LOCAL app.tenant = '7'; SELECT 1",
        "SET LOCAL ROLE x",
        "SELECT set_config('app.tenant', '7', false)",
        "SELECT set_config('app.tenant', '7', $1)",
        "SELECT set_config('app.tenant', $2, true)",
        "SELECT set_config($1, $2, true)",
        "SELECT set_config('app.tenant', 'a' || 'b', true)",
        "SELECT set_config('app.tenant', 7, true)",
        "SELECT set_config('app.tenant', '7', true), 1",
        "SELECT set_config('app.tenant', '7', true) FROM users",
        "SELECT other.set_config('app.tenant', '7', true)",
        "SELECT set_config('app.tenant', E'7', true)",
        "SELECT 1",
        "",
    ],
)
def test_what_is_something_else(text: str) -> None:
    assert local_setting(lex(text)) is None


@pytest.mark.parametrize("name", ["work_mem", "a.", ".a", "a.1", "a.b c", "tidegate.x", "PLPGSQL.x", "a." + "b" * 200])
def test_settings_that_nobody_made_up_are_not_read(name: str) -> None:
    assert not readable_setting(name)
