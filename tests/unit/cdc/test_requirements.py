"""What following changes asks of a server: each demand that is not met is one sentence with its remedy."""

from dataclasses import replace

import pytest

from services.cdc.requirements import ServerFacts, may_prepare, server_findings, useless
from services.shared.runtime.finding import Level, failed

_GOOD = ServerFacts(
    major=18, standby=False, wal_level="logical", encoding="UTF8", slots=10, slots_taken=0, slot_known=False,
    slot_read=False, senders=10, senders_taken=0, slot_cap=1024, role="app", database="shop", may_replicate=True,
    may_create=True, schema_known=False, schema_open=False, tables_known=False, tables_open=False,
    publication_known=False,
)  # fmt: skip
_MADE_FOR_US = replace(
    _GOOD, may_create=False, schema_known=True, schema_open=True, tables_known=True, tables_open=True,
    publication_known=True,
)  # fmt: skip


def test_a_good_server_has_nothing_to_mend() -> None:
    assert {finding.level for finding in server_findings(_GOOD)} == {Level.OK}
    assert may_prepare(_GOOD)
    assert not useless(_GOOD)


@pytest.mark.parametrize(
    ("facts", "remedy"),
    [
        (replace(_GOOD, major=13), "needs 14 or newer"),
        (replace(_GOOD, standby=True), "point database_url to the primary"),
        (replace(_GOOD, wal_level="replica"), "ALTER SYSTEM SET wal_level = 'logical', then restart"),
        (replace(_GOOD, encoding="SQL_ASCII"), "with an encoding"),
        (replace(_GOOD, may_replicate=False, role='a"b'), 'ALTER ROLE "a""b" REPLICATION'),
        (replace(_GOOD, may_create=False), 'GRANT CREATE ON DATABASE "shop" TO "app"'),
        (replace(_MADE_FOR_US, publication_known=False), "GRANT CREATE ON DATABASE"),
        (replace(_MADE_FOR_US, tables_open=False), 'ON ALL TABLES IN SCHEMA tidegate TO "app"'),
        (replace(_MADE_FOR_US, tables_known=False, schema_open=False), 'CREATE ON SCHEMA tidegate TO "app"'),
        (replace(_GOOD, slots_taken=10), "raise max_replication_slots"),
        (replace(_GOOD, senders_taken=10), "raise max_wal_senders"),
        (replace(_GOOD, senders=0), "raise max_wal_senders"),
    ],
)
def test_each_demand_that_is_not_met_is_one_sentence_with_its_remedy(facts: ServerFacts, remedy: str) -> None:
    (finding,) = failed(server_findings(facts))

    assert remedy in str(finding)


def test_what_an_administrator_has_made_need_not_be_made_by_us() -> None:
    assert failed(server_findings(_MADE_FOR_US)) == []


def test_a_slot_that_exists_needs_no_free_place() -> None:
    assert failed(server_findings(replace(_GOOD, slots_taken=10, slot_known=True))) == []


def test_a_slot_that_is_read_has_its_sender() -> None:
    assert failed(server_findings(replace(_GOOD, senders_taken=10, slot_read=True))) == []


def test_an_unlimited_slot_is_worth_a_warning() -> None:
    (warning,) = [f for f in server_findings(replace(_GOOD, slot_cap=-1)) if f.level is not Level.OK]

    assert warning.level is Level.WARN
    assert "max_slot_wal_keep_size = '4GB'" in warning.remedy
