"""What is worth knowing of a server's settings."""

from dataclasses import replace

import pytest

from services.installation.server_remarks import ServerSettings, server_remarks
from services.shared.runtime.finding import Level

_USUAL = ServerSettings(0, "", 0, "UTF8", 90)


def test_nothing_is_said_where_all_is_as_usual() -> None:
    assert list(server_remarks(_USUAL)) == []


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        (replace(_USUAL, idle_slot_seconds=60), Level.WARN, "idle_replication_slot_timeout"),
        (replace(_USUAL, idle_slot_seconds=3600), Level.OK, "idle_replication_slot_timeout"),
        (replace(_USUAL, standby_names="a"), Level.WARN, "No synchronous standby is connected"),
        (replace(_USUAL, encoding="LATIN1"), Level.WARN, "The database's encoding is LATIN1"),
        (replace(_USUAL, free_connections=3), Level.WARN, "3 free connections"),
    ],
)
def test_what_is_said(settings: ServerSettings, level: Level, words: str) -> None:
    (finding,) = server_remarks(settings)

    assert finding.level is level
    assert words in finding.text


def test_a_standby_that_is_there_is_no_matter() -> None:
    assert list(server_remarks(replace(_USUAL, standby_names="a", sync_standbys=1))) == []
