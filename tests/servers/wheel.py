"""Tidegate as a user installs it: its wheel, built from what goes into an image, in a virtual environment of its own.

The dependencies are those of the test's own environment, so that nothing is fetched twice.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.servers.compose import REPOSITORY
from tests.servers.processes import ServerError

_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "services", "schemas")


def build_wheel(directory: Path) -> Path:
    """Build the wheel from a copy of its sources (a build in place would find what older builds left behind).

    Raises:
        ServerError: It cannot be built; the message is the builder's.
    """
    source = directory / "source"
    source.mkdir()
    for name in _SOURCES:
        origin = REPOSITORY / name
        if origin.is_dir():
            shutil.copytree(origin, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, source / name)
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory, source)
    (wheel,) = directory.glob("*.whl")
    return wheel


def install_wheel(wheel: Path, directory: Path) -> Path:
    """Install it; return the `tidegate` program.

    Raises:
        ServerError: It cannot be installed; the message is pip's.
    """
    _run(sys.executable, "-m", "venv", "--without-pip", directory)
    python = directory / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    site = directory / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return directory / "bin" / "tidegate"


def _run(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if ran.returncode:
        raise ServerError(f"{' '.join(map(str, command))}: {ran.stdout}{ran.stderr}")
