"""The programs of the driver ring that are not Python: their packages fetched and their sources compiled, once.

Versions stand in `tests/drivers/programs/*`: package-lock.json, pom.xml, go.mod. What is made of them lies in
`.cache/drivers`, under a name that changes with every file that it was made of.
"""

import shutil
from pathlib import Path

from tests.servers.debian import debian_program
from tests.servers.toolchains import CACHE, built, go, maven_jars, node, npm, run_build

_SOURCES = Path(__file__).parents[1] / "drivers" / "programs"
_CACHE = CACHE / "drivers"
_ENGINES = {  # Prisma would download an engine that it uses for nothing here
    "PRISMA_SCHEMA_ENGINE_BINARY": shutil.which("true") or "/bin/true",
    "PRISMA_HIDE_UPDATE_MESSAGE": "1",
    "CHECKPOINT_DISABLE": "1",
}

Command = list[str | Path]


def node_command(script: str) -> Command:
    """Return the command that runs a script of Node.

    Raises:
        ServerError: Node or a package cannot be had; the message says why.
    """
    programs = _node_programs()
    loader = (programs.parent / "node_modules" / "tsx" / "dist" / "loader.mjs").as_uri()
    return [node(), *(["--import", loader] if _imports_typescript(programs / script) else []), programs / script]


def java_command(main: str) -> Command:
    """Return the command that runs the Java program.

    Raises:
        ServerError: Java, Maven or a jar cannot be had; the message says why.
    """
    sources = sorted((_SOURCES / "java").glob("*.java"))
    jars = maven_jars(_SOURCES / "java" / "pom.xml", _CACHE / "jars")

    def compile_into(fresh: Path) -> None:
        compiler = debian_program("javac", "openjdk-17-jdk-headless")
        run_build([compiler, "-cp", f"{jars}/*", "-d", fresh, *sources], "the Java program")

    classes = built(_CACHE / "classes", _contents(sources), compile_into)
    java = debian_program("java", "openjdk-17-jdk-headless")
    return [java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", f"{classes}:{jars}/*", main]


def go_command() -> Command:
    """Return the command that runs the Go program.

    Raises:
        ServerError: Go or a module cannot be had; the message says why.
    """
    home = _SOURCES / "go"

    def compile_into(fresh: Path) -> None:
        environ = {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false -mod=readonly", "CGO_ENABLED": "0"}
        run_build([go(), "build", "-o", fresh / "ring", "."], "the Go program", home, environ)

    return [built(_CACHE / "go", _contents(sorted(home.iterdir())), compile_into) / "ring"]


def _node_programs() -> Path:
    home = _SOURCES / "node"
    manifests = [home / "package.json", home / "package-lock.json"]
    sources = [path for path in sorted(home.rglob("*")) if path.is_file() and path not in manifests]

    def install(fresh: Path) -> None:
        fresh.mkdir()
        for manifest in manifests:
            shutil.copy(manifest, fresh)
        command = [*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run_build(command, "the packages of Node", fresh, _ENGINES)

    def copy(fresh: Path) -> None:
        shutil.copytree(home, fresh, ignore=lambda *_: [manifest.name for manifest in manifests])
        prisma = fresh.parent / "node_modules" / "prisma" / "build" / "index.js"
        run_build([node(), prisma, "generate"], "Prisma's client", fresh, _ENGINES)

    packages = built(_CACHE / "node", _contents(manifests), install)
    return built(packages / "programs", _contents(sources), copy)


def _imports_typescript(script: Path) -> bool:
    return ".ts" in script.read_text(encoding="utf-8")


def _contents(paths: list[Path]) -> bytes:
    return b"\0".join(path.name.encode() + b"\0" + path.read_bytes() for path in paths)
