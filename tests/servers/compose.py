"""`docker-compose config`: the compose file as Docker's own tool reads it. Needs no Docker engine."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.servers.debian import install_debian_package
from tests.servers.processes import ServerError

REPOSITORY = Path(__file__).resolve().parents[2]


def compose_command() -> list[str]:
    """Return the command line of a compose tool, version 2 or 1, installing Debian's where we may.

    Raises:
        ServerError: There is none; the message says what to type.
    """
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    if shutil.which("docker-compose") is None:
        install_debian_package("docker-compose", "docker-compose")
    return ["docker-compose"]


def composed(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the repository's compose file, validated and with its variables filled in.

    Args:
        variables: The environment variables that it is given, beside those that the tool itself needs.

    Raises:
        ServerError: The tool finds it wrong; the message is the tool's.
    """
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | dict(variables or {})
    told = subprocess.run(
        [*compose_command(), "--file", REPOSITORY / "docker-compose.yml", "config"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if told.returncode:
        raise ServerError(f"docker-compose.yml is wrong: {told.stderr}")
    content: dict[str, Any] = yaml.safe_load(told.stdout)
    return content
