"""How findings and set-ups are said."""

import json

from services.cdc.requirements import ServerFacts
from services.installation.report import finding_line, findings_json, setup_script, summary
from services.installation.setup import SetupReport
from services.shared.runtime.finding import Finding, Level

_FACTS = ServerFacts(
    major=18, standby=False, wal_level="logical", encoding="UTF8", slots=10, slots_taken=0, slot_known=False,
    slot_read=False, senders=10, senders_taken=0, slot_cap=1024, role="app", database="shop", may_replicate=True,
    may_create=True, schema_known=True, schema_open=True, tables_known=True, tables_open=True, publication_known=True,
)  # fmt: skip
_FINE = Finding(Level.OK, "role", "It may")
_WORTH_KNOWING = Finding(Level.WARN, "tables", "One is left out", "GIVE it a key", tables=("public.t",))
_WRONG = Finding(Level.FAIL, "role", "It may not", "GRANT it", ("GRANT it",))


def test_a_finding_is_one_line_whatever_a_table_is_called() -> None:
    line = finding_line(Finding(Level.FAIL, "tables", "See public.a\nDROP TABLE b", "mend\nit"))

    assert line == "fail tables      See public.a DROP TABLE b → mend it"


def test_the_summary_counts_what_is_to_be_mended() -> None:
    assert summary([_FINE]) == "All is well."
    assert summary([_FINE, _WRONG, _WORTH_KNOWING]) == "1 to be mended, 1 to know about."


def test_machines_get_everything() -> None:
    document = json.loads(findings_json({"a": [_FINE], "b": [_WRONG]}))

    assert document["well"] is False
    assert document["caches"]["b"] == [
        {
            "level": "fail",
            "topic": "role",
            "text": "It may not",
            "remedy": "GRANT it",
            "sql": ["GRANT it"],
            "tables": [],
            "statements": [],
        }
    ]


def test_a_set_up_is_a_script_in_which_all_that_is_not_sql_is_a_comment() -> None:
    report = SetupReport(_FACTS, [_WRONG], ["CREATE it"], [_WORTH_KNOWING])

    lines = list(setup_script(report, "Cache shop", "tidegate_shop", rehearsed=True))

    assert [line for line in lines if not line.startswith("-- ")] == ["GRANT it;", "CREATE it;"]
    assert not report.complete


def test_a_set_up_with_nothing_to_do_says_so() -> None:
    report = SetupReport(_FACTS, [], [], [_WORTH_KNOWING])

    lines = list(setup_script(report, "Cache shop", "tidegate_shop", rehearsed=False))

    assert report.complete
    assert any("nothing to run" in line for line in lines)
    assert "at most 1024 MB" in lines[-1]
