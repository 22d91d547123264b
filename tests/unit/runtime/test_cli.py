"""The command line: what it prints, how it fails, and that it never answers with a traceback."""

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE

_REPOSITORY = Path(__file__).resolve().parents[3]


def _tidegate(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    environment |= {f"TIDEGATE_{name}": value for name, value in variables.items()} | {
        "PYTHONPATH": str(_REPOSITORY), "COLUMNS": "200", "NO_COLOR": "1",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        capture_output=True, text=True, check=False, env=environment, cwd=tmp_path, timeout=30,
    )  # fmt: skip


def test_help_names_every_subcommand_the_usual_one_first(tmp_path: Path) -> None:
    told = _tidegate(tmp_path, "--help")
    assert told.returncode == 0
    places = [
        told.stdout.find(f" {name} ")
        for name in ("up", "proxy", "cdc", "invalidator", "tail", "settings", "version", "user")
    ]
    assert all(place > 0 for place in places)
    assert places == sorted(places)


def test_version(tmp_path: Path) -> None:
    told = _tidegate(tmp_path, "version")
    assert (told.returncode, told.stdout) == (0, "0.1.0\n")


def test_settings_are_printed_as_toml_and_masked(tmp_path: Path) -> None:
    told = _tidegate(tmp_path, "settings", DATABASE_URL="postgresql://app:hunter2@db/shop", HASHED_COLUMNS="a.b.c")
    printed = tomllib.loads(told.stdout)
    assert printed["cache"]["default"]["database_url"] == "postgresql://app:***@db:5432/shop"
    assert printed["cache"]["default"]["hashed_columns"] == ["a.b.c"]
    assert printed["process"]["workers"] == 0
    assert "hunter2" not in told.stdout + told.stderr


@pytest.mark.parametrize("command", ["proxy", "cdc", "invalidator", "settings"])
def test_wrong_settings_are_one_line_each(tmp_path: Path, command: str) -> None:
    told = _tidegate(tmp_path, command, DATABASE_URL="mysql://app:hunter2@db/shop", MAX_STALENES="1s")
    assert told.returncode == EXIT_WRONG_USE
    assert told.stderr.splitlines() == [
        f"tidegate {command}: TIDEGATE_MAX_STALENES: there is no such setting; did you mean TIDEGATE_MAX_STALENESS?",
        f"tidegate {command}: TIDEGATE_DATABASE_URL = mysql://app:***@db/shop: it should begin with postgresql:// "
        "(postgresql://USER:PASSWORD@HOST:PORT/DATABASE)",
    ]


def test_several_workers_are_not_started_by_one_command_in_silence(tmp_path: Path) -> None:
    told = _tidegate(tmp_path, "proxy", DATABASE_URL="postgresql://a@127.0.0.1:1/b", WORKERS="4")
    assert told.returncode == EXIT_WRONG_USE
    assert told.stderr.startswith("tidegate proxy: TIDEGATE_WORKERS = 4: this command is one worker")


def test_a_taken_metrics_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        told = _tidegate(tmp_path, "cdc", DATABASE_URL="postgresql://a@127.0.0.1:1/b", METRICS_LISTEN=listen)
    assert told.returncode == EXIT_REFUSED
    (line,) = told.stderr.splitlines()
    assert line.startswith(f"tidegate cdc: cannot listen on {listen} for metrics")


def test_an_unknown_subcommand_is_wrong_use(tmp_path: Path) -> None:
    told = _tidegate(tmp_path, "prxoy")
    assert told.returncode == EXIT_WRONG_USE
    assert "Traceback" not in told.stderr


def test_health_says_that_nobody_answers(tmp_path: Path) -> None:
    told = _tidegate(tmp_path, "health", "http://127.0.0.1:1/readyz")
    assert told.returncode == EXIT_REFUSED
    assert told.stderr.startswith("tidegate health: nobody answers at http://127.0.0.1:1/readyz")
    told = _tidegate(tmp_path, "health", DATABASE_URL="postgresql://a@b/c")
    assert told.returncode == EXIT_WRONG_USE
    assert "names no port" in told.stderr
