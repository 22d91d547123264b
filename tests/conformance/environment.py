"""The Python environment that the drivers' suites run in, and their sources: fetched once into `.cache/conformance`.

It is not the one that Tidegate is developed in: a suite wants its own pytest, and the very version of the driver that
it belongs to.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.servers.compose import REPOSITORY
from tests.servers.postgres_programs import programs_of
from tests.servers.processes import ServerError

CACHE = REPOSITORY / ".cache" / "conformance"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def suite_python() -> Path:
    """Return the interpreter of the suites' environment, making it when the requirements are new.

    Raises:
        ServerError: It cannot be made; the message is pip's.
    """
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = CACHE / f"environment-{digest}"
    python = home / "bin" / "python"
    if not (home / ".complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", home)
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", _REQUIREMENTS)
        (home / ".complete").touch()
    return python


def pinned_versions() -> dict[str, str]:
    """Return the versions that the requirements name."""
    pinned = (line.partition("==") for line in _REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    return {name.partition("[")[0]: version for name, separator, version in pinned if separator}


def postgres_release(version: str) -> str:
    """Return the release of a major version of Postgres that the suites run with, as in `PostgreSQL 15.18`."""
    command = [str(programs_of(version) / "postgres"), "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return " ".join(re.findall(r"PostgreSQL|\d+\.\d+", told.stdout)[:2])


def source_distribution(distribution: str) -> Path:
    """Return the unpacked source distribution of the pinned version, fetching it from PyPI if need be.

    It holds no package of the distribution's own name at its top, which would hide the installed one.

    pip asks a source distribution for its metadata before it hands it over, and asyncpg's answer takes minutes (it
    translates its Cython modules first). That happens once.

    Raises:
        ServerError: It cannot be had; the message is pip's.
    """
    version = pinned_versions()[distribution]
    release = f"{distribution}-{version}"
    home = CACHE / release
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:", "--dest", fresh)
            _run(sys.executable, "-m", "pip", "download", *options, f"{distribution}=={version}")
            (archive,) = Path(fresh).glob("*.tar.gz")
            unpack(archive, Path(fresh))
            shutil.rmtree(Path(fresh) / release / distribution, ignore_errors=True)
            (Path(fresh) / release).rename(home)
    return home


def unpack(archive: Path, place: Path, folder: Path | None = None) -> None:
    """Unpack a tar archive, or one folder below its top, refusing what would land elsewhere."""
    with tarfile.open(archive) as opened:
        members = opened if folder is None else (one for one in opened if _lies_in(folder, one.name))
        opened.extractall(place, members, filter="data")


def _lies_in(folder: Path, member: str) -> bool:
    return Path(*Path(member).parts[1:]).is_relative_to(folder)


def _run(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ServerError(f"{' '.join(map(str, command))} failed:\n{(ran.stdout + ran.stderr)[-2000:]}")
