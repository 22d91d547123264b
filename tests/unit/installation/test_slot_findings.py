"""What is said of the replication slot."""

from dataclasses import replace

import pytest

from services.cdc.replication.slot import SlotState
from services.installation.slot_findings import SlotLimits, slot_finding
from services.shared.runtime.finding import Level

_READ = SlotState(True, False, 4711, False, None, 1 << 20, "tidegate-cdc from 10.0.0.9")


@pytest.mark.parametrize(
    ("slot", "cap", "level", "words"),
    [
        (None, 64, Level.OK, "when it starts"),
        (_READ, 64, Level.OK, "tidegate-cdc from 10.0.0.9"),
        (replace(_READ, kept_bytes=40 << 20), 64, Level.WARN, "given up"),
        (replace(_READ, active_pid=None), 64, Level.WARN, "tidegate teardown"),
        (replace(_READ, active_pid=None), -1, Level.FAIL, "without limit"),
        (replace(_READ, active_pid=None, lost=True), 64, Level.FAIL, "is lost"),
        (replace(_READ, ours=False), 64, Level.FAIL, "pg_drop_replication_slot('s')"),
    ],
)
def test_what_is_said_of_a_slot(slot: SlotState | None, cap: int, level: Level, words: str) -> None:
    finding = slot_finding("s", slot, SlotLimits(cap, 4 << 30, 600.0))

    assert finding.level is level
    assert words in str(finding)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (SlotLimits(-1, 4 << 30, 600.0), "more than 4GiB (slot_limit) or when nobody has used it for 10min"),
        (SlotLimits(1024, 0, 600.0), "for 10min (slot_patience), Postgres beyond 1GiB"),
        (SlotLimits(1024, 4 << 30, 0), "more than 4GiB (slot_limit), Postgres beyond 1GiB"),
        (SlotLimits(-1, 0, 0), "no proxy gives it up"),
    ],
)
def test_it_is_said_when_a_slot_would_be_given_up(limits: SlotLimits, words: str) -> None:
    assert words in slot_finding("s", _READ, limits).text


def test_the_narrower_limit_counts() -> None:
    near = replace(_READ, kept_bytes=40 << 20)

    assert "at 64MiB the slot is given up" in slot_finding("s", near, SlotLimits(1024, 64 << 20, 0)).remedy
