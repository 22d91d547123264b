"""Who may read what, by permission bits."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.standalone.account import Account, may_enter

_STRANGER = Account("stranger", 64_123, 64_123)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody gets to (pytest's own are for their owner)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_file_that_everybody_may_read(open_folder: Path) -> None:
    file = open_folder / "file"
    file.touch(mode=0o644)

    assert may_enter(_STRANGER, file)


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_for_others_eyes(open_folder: Path, mode: int) -> None:
    file = open_folder / "file"
    file.touch()
    file.chmod(mode)

    assert not may_enter(_STRANGER, file)


def test_a_closed_folder_above_hides_what_is_in_it(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    file = closed / "file"
    file.touch(mode=0o644)

    assert not may_enter(_STRANGER, file)


def test_a_folder_can_be_passed_through_without_being_read(open_folder: Path) -> None:
    passage = open_folder / "passage"
    passage.mkdir()
    passage.chmod(0o711)

    assert may_enter(_STRANGER, passage, read=False)
    assert not may_enter(_STRANGER, passage)


def test_nobody_is_dropped_to_without_need(tmp_path: Path) -> None:
    assert may_enter(None, tmp_path)
