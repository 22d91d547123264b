"""How many workers are started when nobody says how many."""

import os
from pathlib import Path

import pytest

from services.standalone.cores import usable_cores, worker_count

_ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000\n", _ALL), ("100000 100000\n", 1), ("50000 100000\n", 1), ("6400000000 100000\n", _ALL), ("", _ALL)],
)
def test_a_containers_quota_counts(tmp_path: Path, quota: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)

    assert usable_cores(file) == cores


def test_without_control_groups_the_cores_count_that_we_may_run_on(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none") == _ALL


def test_a_number_that_was_given_stands() -> None:
    assert worker_count(3) == 3
    assert 1 <= worker_count(0) <= 16
