"""A unix-domain socket to listen on, named as Postgres names its own: `.s.PGSQL.<port>` in a directory.

The name is ours for as long as we hold the lock on `.s.PGSQL.<port>.lock`. A socket that is there already is replaced
if nobody answers on it: its owner was killed. The lock file carries our process id as Postgres's does, so that a
Postgres with the same port and directory refuses to start, and it is locked by the kernel, so that it frees itself.

Whoever may write in the directory can put a socket of his own in place of ours and collect passwords there. So the
directory has to be ours or root's, and closed to others, or sticky as /tmp is.
"""

import fcntl
import os
import socket
import stat
from pathlib import Path

from services.shared.runtime.lifecycle import Refusal

_LONGEST_PATH = 107  # bytes; struct sockaddr_un has 108, with the zero at its end
_DIRECTORY_MODE = 0o755
_OWNER_ONLY = 0o077  # umask: nobody else connects before the permissions are set
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ANSWER_SECONDS = 1.0
_ROOT = 0


class UnixSocket:
    """A bound socket with its place in the file system.

    Attributes:
        path: Its name.
        socket: The socket; whoever listens on it owns it from then on.
    """

    def __init__(self, directory: str, port: int, mode: int) -> None:
        """Take the name and bind the socket.

        Args:
            directory: Where; made when only its last part is missing.
            port: The number in the socket's name.
            mode: Its permission bits.

        Raises:
            Refusal: The name cannot be had; the message says why and what to do.
        """
        self.path = Path(directory) / f".s.PGSQL.{port}"
        if len(os.fsencode(self.path)) > _LONGEST_PATH:
            raise Refusal(f"cannot listen on {self.path}: a socket's path has {_LONGEST_PATH} bytes at most")
        try:
            _check_directory(self.path.parent)
            self._lock = _NameLock(self.path)
            try:
                _refuse_if_in_use(self.path)
                self._lock.write_owner()
                self.socket = _bind(self.path, mode)
                self._identity = _identity(self.path)
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise Refusal(
                f"cannot listen on {self.path}: {error.strerror or error}. Choose another TIDEGATE_LISTEN_UNIX."
            ) from error

    def remove(self) -> None:
        """Take the name back; connections that were made by it go on."""
        if _identity(self.path) == self._identity:  # else somebody has put another in its place
            self.path.unlink()
        self._lock.release()


class _NameLock:
    """The right to a socket's name: a file that we have locked."""

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            Refusal: Another Tidegate has it.
        """
        self._path = path.with_name(f"{path.name}.lock")
        while True:
            # O_NOFOLLOW: in a directory like /tmp somebody may have put a link of that name there.
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                raise Refusal(f"cannot listen on {path}: another Tidegate does, and has locked {self._path}") from None
            found = os.fstat(self._descriptor)
            if _identity(self._path) == (found.st_dev, found.st_ino):
                self._ours = found.st_size == 0  # else it says whose it is, or was
                return
            os.close(self._descriptor)  # its owner removed it between our opening and locking it

    def write_owner(self) -> None:
        """Say whose it is, as Postgres does."""
        self._ours = True
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give it back."""
        if self._ours:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _refuse_if_in_use(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Refusal(f"cannot listen on {path}: something is there that is no socket")
    if _is_answered(path):
        raise Refusal(
            f"cannot listen on {path}: somebody answers there (a Postgres with that port?). "
            "Choose another TIDEGATE_LISTEN_UNIX, or another port in TIDEGATE_LISTEN."
        )


def _bind(path: Path, mode: int) -> socket.socket:
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(_OWNER_ONLY)
    try:
        bound.bind(str(path))
        path.chmod(mode)
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(umask)
    return bound


def _check_directory(directory: Path) -> None:
    """Make sure that nobody else can put another socket in the place of ours."""
    if not directory.exists():
        directory.mkdir()
        directory.chmod(_DIRECTORY_MODE)  # whatever the umask is: clients have to get at the socket
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise Refusal(f"cannot listen in {directory}: it is no directory")
    sticky = bool(found.st_mode & stat.S_ISVTX)
    if found.st_uid not in (os.geteuid(), _ROOT) or (found.st_mode & _WRITABLE_BY_OTHERS and not sticky):
        raise Refusal(
            f"cannot listen in {directory}: others may write there, and could put a socket of their own in place of "
            f"this one. Name a directory of user {os.geteuid()}'s own in TIDEGATE_LISTEN_UNIX, as in "
            "`install -d -o USER -m 755 DIRECTORY`."
        )


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:  # its queue is full, so there is somebody
            return True
    return True
