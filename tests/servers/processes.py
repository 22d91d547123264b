"""Processes under test: started, frozen, killed and cleaned up, each by its own process id.

A started process ends with the test run, however that ends: a finished run stops it, and one that is killed takes it
along (`PR_SET_PDEATHSIG`, set where the main thread starts it, because the kernel ties it to the starting thread).
"""

import atexit
import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

_POLL_SECONDS = 0.005
_PR_SET_PDEATHSIG = 1
_UNPRIVILEGED_USER = "nobody"  # exists everywhere, owns nothing


class ServerError(Exception):
    """A server could not be had, or did not do as it was told. The message says what helps."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that a server runs as."""

    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Return the user for servers that refuse to run as root; None when we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(_UNPRIVILEGED_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def free_port() -> int:
    """Return a TCP port of the loopback that is free now. Whoever takes it has to check who answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], T | None], what: str, timeout_seconds: float = 10.0) -> T:
    """Call the condition until it returns something true, and return that.

    Raises:
        ServerError: It did not within the time; the message names what was awaited.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise ServerError(f"waited {timeout_seconds:g} s in vain for {what}")
        time.sleep(_POLL_SECONDS)


def logged(path: Path) -> str:
    """Return what a log holds; nothing when it has not been begun."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class ServerDirectory:
    """A directory of a server's own: short (a unix socket's path holds 107 bytes), and readable by its user."""

    def __init__(self, name: str, account: Account | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"tidegate-{name}-"))
        if account is not None:
            os.chown(self.path, account.uid, account.gid)
        atexit.register(self.remove)

    def remove(self) -> None:
        """Delete it with all that is in it; again is harmless."""
        shutil.rmtree(self.path, ignore_errors=True)
        atexit.unregister(self.remove)


class ManagedProcess:
    """One process with its descendants, its log in a file.

    Args:
        name: How to call it in messages.
        argv: Program and arguments; no secret belongs here.
        log_path: Where its standard output and error go (appended).
        env: Its environment; None for ours.
        cwd: Where it runs.
        account: Whom it runs as; None for us.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
                start_new_session=True,
                # It calls nothing but prctl, which takes no lock that another thread could hold.
                preexec_fn=_die_with_parent if _in_main_thread() else None,  # noqa: PLW1509
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended (a frozen one has not)."""
        return self.exit_code is None

    def log(self) -> str:
        """Everything that it has written so far."""
        return logged(self.log_path)

    def tree(self) -> list[psutil.Process]:
        """The process and its descendants, itself first."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.running:
            self._popen.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_seconds: float = 10.0) -> int:
        """End it in order and return its exit code.

        Raises:
            ServerError: It did not end in time; it has been killed then.
        """
        self.resume()
        self.send(number)
        try:
            return self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            tail = self.log()[-2000:]
            self.kill()
            message = f"{self.name} did not end within {timeout_seconds:g} s of {number.name}; its log:\n{tail}"
            raise ServerError(message) from None
        finally:
            atexit.unregister(self.kill)

    def kill(self) -> None:
        """SIGKILL for the process and every descendant, and wait until they are gone."""
        tree = self.tree()
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._popen.wait()
        psutil.wait_procs(tree[1:], timeout=5)
        atexit.unregister(self.kill)

    def pause(self) -> None:
        """SIGSTOP for all of them, the parent first so that it starts no more; returns when all have stopped."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        wait_until(lambda: all(_is_stopped(process) for process in self.tree()), f"{self.name} to stop")

    def resume(self) -> None:
        """SIGCONT for all of them, children first."""
        for process in reversed(self.tree()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


_libc = ctypes.CDLL(None, use_errno=True)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
