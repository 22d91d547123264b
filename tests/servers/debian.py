"""Programs that Debian has as packages: installed where we are root, else named."""

import os
import shutil
import subprocess

from tests.servers.processes import ServerError


def install_debian_package(package: str, purpose: str) -> None:
    """Install a Debian package, which only root can.

    Raises:
        ServerError: We are not root, or it failed. The message says what to type.
    """
    advice = f"{purpose} is not installed. On Debian: sudo apt-get install {package}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerError(advice)
    command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for attempt in (command, ["apt-get", "update", "-qq"], command):
        ran = subprocess.run(attempt, capture_output=True, text=True, check=False, env=environment)
        if attempt is command and ran.returncode == 0:
            return
    raise ServerError(f"{advice} (trying it failed: {ran.stderr[-500:]})")


def debian_program(name: str, package: str) -> str:
    """Return the path of a program, installing its package when that is possible.

    Raises:
        ServerError: It is missing and cannot be installed; the message says what to type.
    """
    if shutil.which(name) is None:
        install_debian_package(package, f"{name}, which the tests need,")
    found = shutil.which(name)
    if found is None:
        raise ServerError(f"{package} was installed and {name} is not on PATH")
    return found
