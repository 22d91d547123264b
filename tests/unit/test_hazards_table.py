"""What `docs/hazards.md` names as proof exists: a test that is renamed or removed takes its claim with it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TEXT = (_ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
_ROWS = re.findall(r"^\| (H\d+) \|", _TEXT.partition("## Proved by")[0], re.MULTILINE)
_PROOFS = dict(re.findall(r"^\| (H\d+) \| (.*) \|$", _TEXT.partition("## Proved by")[2], re.MULTILINE))
_OF_THE_CHANGE_STREAM = [*range(1, 14), *range(33, 45), 47, *range(53, 58)]


@cache
def _tests_in(path: Path) -> frozenset[str]:
    """Return the names of the tests in a file, those in a class behind its name."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return frozenset(names)


@pytest.mark.parametrize("number", _OF_THE_CHANGE_STREAM)
def test_every_row_of_the_change_stream_is_proved_by_tests_that_exist(number: int) -> None:
    row = f"H{number}"
    assert row in _ROWS
    proofs = re.findall(r"`([^`]+)`", _PROOFS[row])
    assert proofs
    for proof in proofs:
        name, _, test = proof.partition("::")
        assert test.rpartition("::")[2].startswith("test_")
        assert test in _tests_in(_ROOT / "tests" / name), f"{row}: there is no {proof}"


def test_no_row_is_proved_that_is_not_there() -> None:
    assert set(_PROOFS) <= set(_ROWS)
