"""The users file on disk: read when it has changed, rewritten as a whole, readable by nobody else.

A verifier cannot be turned into the password but by guessing; who reads the file can begin to guess, and can log in to
whatever takes a verifier for a client's key. So a file that the world may read is refused, as libpq refuses such keys.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.proxy.scram.verifier import Challenge, Verifier
from services.proxy.tls.watched_files import WatchedFiles
from services.proxy.verifiers.absence import Absence
from services.proxy.verifiers.userlist import InvalidUserlist, Userlist
from services.shared.runtime.refusal import Refusal

_SETTING: Final = "TIDEGATE_USERS_FILE"
_MODE_OF_NEW: Final = 0o600


class UsersFile:
    """A source of verifiers. While the file is no good (half written, unreadable), what it said before counts."""

    def __init__(self, path: Path) -> None:
        """Read it for the first time.

        Raises:
            Refusal: It cannot be used.
        """
        self._watched = WatchedFiles((path,), lambda: read_userlist(path))

    async def look_up(self, name: str, challenge: Challenge) -> Verifier | Absence:
        """Return a role's verifier, or why there is none."""
        return self._watched.current().find(name)

    def close(self) -> None:
        """Nothing is open."""


def read_userlist(path: Path) -> Userlist:
    """Read a users file.

    Raises:
        Refusal: It cannot be read, others may read it, or it is no users file.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _check_access(path, os.fstat(file.fileno()))
            return Userlist.parse(file.read())
    except FileNotFoundError as error:
        raise Refusal(f"{_SETTING} = {path}: there is no such file; `tidegate user add NAME` makes it.") from error
    except OSError as error:
        raise Refusal(f"{_SETTING} = {path}: it cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{_SETTING} = {path}: it is not UTF-8.") from error
    except InvalidUserlist as error:
        raise Refusal(f"{_SETTING} = {path}: {error}.") from error


def change_userlist(path: Path, change: Callable[[Userlist], Userlist]) -> None:
    """Rewrite a users file, making it if there is none. Nobody ever sees half of it, and no other change is lost.

    Args:
        path: The file.
        change: Makes the new content of the old one.

    Raises:
        Refusal: The old one cannot be used, or the new one cannot be written.
        Exception: What `change` raises; the file stays as it is.
    """
    path = path.resolve()  # a symbolic link stays one
    try:
        with _locked(path.parent):
            old = path.stat() if path.exists() else None
            userlist = change(read_userlist(path) if old is not None else Userlist())
            _replace(path, userlist.format(), old)
    except OSError as error:
        raise Refusal(f"{_SETTING} = {path}: it cannot be written ({error.strerror}).") from error


def _check_access(path: Path, status: os.stat_result) -> None:
    if status.st_mode & stat.S_IRWXO:
        raise Refusal(f"{_SETTING} = {path}: others may read or write it, and it holds secrets; run: chmod 600 {path}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one of us at a time read and rewrite."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # the lock goes with it


def _replace(path: Path, text: str, old: os.stat_result | None) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # readable by its owner alone
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                _give_to_owner(path, file.fileno(), old)
            os.fchmod(file.fileno(), _MODE_OF_NEW if old is None else stat.S_IMODE(old.st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _give_to_owner(path: Path, handle: int, old: os.stat_result) -> None:
    try:
        os.fchown(handle, old.st_uid, old.st_gid)
    except PermissionError as error:
        raise Refusal(
            f"{_SETTING} = {path}: it belongs to another user, who could not read it any more; run this as that user."
        ) from error
