"""Which settings of sessions keep answers from being cached, and how that is said."""

import pytest

from services.installation.session_defaults import Default, defaults_findings
from services.shared.runtime.finding import Level


@pytest.mark.parametrize(
    ("name", "value", "spoils"),
    [
        ("default_transaction_isolation", "read committed", False),
        ("default_transaction_isolation", "repeatable read", True),
        ("standard_conforming_strings", "on", False),
        ("standard_conforming_strings", "off", True),
        ("client_encoding", "UTF8", False),
        ("client_encoding", "utf-8", False),
        ("client_encoding", "LATIN1", True),
        ("search_path", '"$user", public', False),
        ("search_path", "pg_catalog, public", False),
        ("search_path", "pg_temp, pg_catalog, public", False),
        ("search_path", "public, pg_catalog", True),
        ("search_path", "", False),
        ("tidegate.consistency", "bounded", False),
        ("tidegate.consistency", "off", True),
        ("tidegate.consistency", "strongest", True),
        ("work_mem", "4MB", False),
    ],
)
def test_what_spoils_caching(name: str, value: str, spoils: bool) -> None:
    (finding,) = defaults_findings([Default("Sessions of our role", name, value)])

    assert (finding.level is Level.WARN) is spoils


def test_what_is_set_for_somebody_is_told_once_and_with_the_statement() -> None:
    own = Default("Sessions of our role", "client_encoding", "LATIN1")
    of_all = Default("Sessions of everybody in this database", "client_encoding", "latin1", "ALTER DATABASE d RESET x")
    of_app = Default("Sessions of role app", "standard_conforming_strings", "off", "ALTER ROLE app RESET y")

    findings = defaults_findings([own, of_all, of_app])

    assert [finding.remedy.split(",")[0] for finding in findings] == [of_all.reset, of_app.reset]


def test_a_setting_of_the_server_is_told_too() -> None:
    (finding,) = defaults_findings([Default("Sessions of our role", "standard_conforming_strings", "off")])

    assert "postgresql.conf" in finding.remedy
