"""Postgres's own regression SQL, which is not ours to copy: from Debian's source package, or from a developer's folder.

Debian keeps the sources of exactly the server that it installed, so the version that is tested and its tests belong
together. apt is used with lists and caches of its own, so nothing of the system changes, and it needs no root. The
Python wheels and npm packages that carry other versions of Postgres carry no tests; for these somebody has to say where
the sources are.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.conformance.environment import CACHE, unpack
from tests.servers.processes import ServerError

_REGRESS = Path("src/test/regress")
_DEBIAN_PACKAGE = "postgresql-15"
_ADVICE = (
    "Say where the sources of its version are: --postgres-source DIR (a checkout of postgres/postgres at its tag)."
)
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def regression_directory(version: str, given: Path | None) -> Path:
    """Return the folder with `sql`, `data` and `parallel_schedule` that belongs to a major version of Postgres.

    Args:
        version: Postgres's major version.
        given: A Postgres source tree; None to get it from Debian, which has that of version 15.

    Raises:
        ServerError: It cannot be had; the message says what to do.
    """
    if given is not None:
        directory = given / _REGRESS
        if not (directory / "parallel_schedule").exists():
            raise ServerError(f"{given} is no Postgres source tree: there is no {directory / 'parallel_schedule'}")
        return directory.resolve()
    if version != "15":
        raise ServerError(f"no package registry has the regression tests of Postgres {version}. {_ADVICE}")
    return _from_debian() / _REGRESS


def scheduled_files(directory: Path) -> tuple[list[str], dict[str, set[str]]]:
    """Return the names of the test files in the order in which they run, and which other files each one needs.

    The schedule says of groups that run in parallel what depends on what, in comments that are kept to one form.
    """
    schedule = (directory / "parallel_schedule").read_text(encoding="utf-8")
    files = [name for line in re.findall(r"^test:(.*)$", schedule, re.MULTILINE) for name in line.split()]
    needs: dict[str, set[str]] = {name: {"test_setup", "create_index"} - {name} for name in files}
    needs["test_setup"] = set()
    needs["create_index"] = {"test_setup"}
    for name, others in re.findall(r"^# *(\w+) depends on (.+)$", schedule, re.MULTILINE):
        if name in needs:
            needs[name] |= set(re.findall(r"\w+", others)) & set(files)
    return files, needs


def _from_debian() -> Path:
    version = _installed_version()
    home = CACHE / f"{_DEBIAN_PACKAGE}_{version}"
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            archive = _fetch_source(version, Path(fresh))
            unpack(archive, Path(fresh), _REGRESS)
            (tree,) = (path.parents[2] for path in Path(fresh).glob("*/src/test/regress"))
            tree.rename(home)
    return home


def _installed_version() -> str:
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", _DEBIAN_PACKAGE],
        capture_output=True, text=True, check=False,
    ) if shutil.which("dpkg-query") else None  # fmt: skip
    if asked is None or asked.returncode:
        raise ServerError(f"{_DEBIAN_PACKAGE} is not installed by Debian's package manager. {_ADVICE}")
    return asked.stdout.strip()


def _fetch_source(version: str, place: Path) -> Path:
    """Fetch the source package of an installed version; return the archive with the upstream sources."""
    state = place / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    release = _release_name()
    sources = state / "sources.list"
    sources.write_text(
        "".join(
            f"deb-src [signed-by={_KEYRING}] http://deb.debian.org/{archive} {suite} main\n"
            for archive, suite in (("debian", release), ("debian", f"{release}-updates"),
                                   ("debian-security", f"{release}-security"))
        ),
        encoding="utf-8",
    )  # fmt: skip
    options = (
        f"-oDir::Etc::sourcelist={sources}", "-oDir::Etc::sourceparts=-", f"-oDir::State={state / 'state'}",
        f"-oDir::Cache={state / 'cache'}", "-oAPT::Sandbox::User=", "-oDebug::NoLocking=true",
    )  # fmt: skip
    _apt(place, *options, "update")
    _apt(place, *options, "source", "--download-only", f"{_DEBIAN_PACKAGE}={version}")
    (archive,) = place.glob("*.orig.tar.*")
    return archive


def _release_name() -> str:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r"^VERSION_CODENAME=(\w+)$", text, re.MULTILINE)
    if found is None or not re.search(r"^ID=debian$", text, re.MULTILINE):
        raise ServerError(f"this is no Debian, whose source packages could be fetched. {_ADVICE}")
    return found[1]


def _apt(place: Path, *arguments: str) -> None:
    ran = subprocess.run(["apt-get", "-qq", *arguments], cwd=place, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ServerError(f"apt-get {arguments[-1]} failed: {ran.stderr[-1500:]}\n{_ADVICE}")
