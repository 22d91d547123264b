"""What is said of the replica that a proxy's clients are on."""

from dataclasses import replace
from typing import Any

import pytest

from services.cdc.control import Server
from services.installation.replica_check import Standby, judge
from services.shared.runtime.finding import Level

PRIMARY = Server("7", 5, "00000001", "1764131453.595329")
FOLLOWING = Standby(True, "7", 5, "00000001", "c0ffee", "c0ffee", 0)


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({}, Level.OK, "follows the primary"),
        ({"canary": "", "expected": ""}, Level.OK, "follows the primary"),
        ({"system": "8"}, Level.FAIL, "no copy"),
        ({"database": 6}, Level.FAIL, "no copy"),
        ({"in_recovery": False}, Level.WARN, "no standby"),
        ({"timeline": "00000002"}, Level.FAIL, "timeline 00000002"),
        ({"canary": "another"}, Level.FAIL, "another canary"),
        ({"behind_bytes": 4_096}, Level.WARN, "4096 bytes"),
        ({"behind_bytes": 4_096, "canary": ""}, Level.WARN, "4096 bytes"),
    ],
)
def test_a_standby_is_judged_beside_its_primary(changed: dict[str, Any], level: Level, words: str) -> None:
    (finding,) = judge(replace(FOLLOWING, **changed), PRIMARY)
    assert finding.level is level
    assert words in finding.text
    assert finding.topic == "replica"
