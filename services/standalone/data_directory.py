"""Where a stack keeps its files: one folder, locked for as long as any process of the stack lives.

    lock                  held (flock) by the supervisor and inherited by the embedded servers
    secrets.json          passwords of the embedded servers, for the owner's eyes
    tls.crt  tls.key      the proxies' certificate, where no other is named
    postgres/  redis/     the data of the embedded servers, owned by the user that runs them
    programs/             copies of the servers' programs, where that user cannot read the installed ones
    services.log          what the services print, when it is not shown

Without a name a temporary folder is made and removed at the end. One that a killed stack has left behind is removed by
the next start: its lock is free once its last process is gone.
"""

import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from services.shared.runtime.lifecycle import Refusal
from services.standalone.account import Account, may_enter

_PREFIX = "tidegate-up-"
_LOCK = "lock"
_SECRETS = "secrets.json"
_SECRET_BYTES = 18  # 144 bits
_PASS_THROUGH = 0o711  # another user may reach his own folder inside, and list nothing
_OWNER_ONLY = 0o700
_SETTLED_SECONDS = 60.0  # a younger temporary folder may be between its making and its locking


class DataDirectoryError(Refusal):
    """The folder cannot be used. The message is for people."""


class DataDirectory:
    """A folder that is locked by this process."""

    def __init__(self, path: Path, lock: int, account: Account | None, *, temporary: bool) -> None:
        self.path = path
        self.lock = lock
        self.account = account
        self.temporary = temporary

    def folder(self, name: str) -> Path:
        """Return a folder inside, made when missing, that only the servers' user can enter."""
        path = self.path / name
        path.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        self.hand_over(path)
        return path

    def hand_over(self, path: Path) -> None:
        """Make a file or folder the servers' user's own."""
        if self.account is not None:
            os.chown(path, self.account.user_id, self.account.group_id)

    def secret(self, name: str) -> str:
        """Return a password, made at its first use and the same at every later start.

        Raises:
            DataDirectoryError: The file with the passwords is damaged.
        """
        path = self.path / _SECRETS
        try:
            known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        except ValueError as error:
            raise DataDirectoryError(f"{path} is damaged ({error}): remove {self.path} to begin anew.") from error
        if name not in known:
            known[name] = secrets.token_urlsafe(_SECRET_BYTES)
            write_private(path, json.dumps(known, indent=2) + "\n")
        return known[name]

    def close(self) -> None:
        """Remove what was temporary, and give the lock back."""
        if self.temporary:
            shutil.rmtree(self.path)
        os.close(self.lock)


def open_data_directory(path: Path | None, account: Account | None) -> DataDirectory:
    """Make the folder when it is missing, and lock it.

    Args:
        path: Where it is; None: a temporary one.
        account: The user that runs the servers; None: the present one.

    Raises:
        DataDirectoryError: Another stack uses it, or the servers' user cannot get there.
    """
    temporary = path is None
    if path is None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        path.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        path = path.resolve()
        if account is not None:
            path.chmod(_PASS_THROUGH)
        lock = _lock(path)
    except OSError as error:
        raise DataDirectoryError(f"Cannot use the data directory {path}: {error.strerror}.") from error
    if lock is None:
        raise DataDirectoryError(f"The data directory {path} is in use by another `tidegate up`: name another one.")
    if account is not None and not may_enter(account, path, read=False):
        os.close(lock)
        raise DataDirectoryError(
            f"The servers run as user {account.name}, who cannot enter {path}: name a data directory that others may "
            "pass through, or leave the option out."
        )
    return DataDirectory(path, lock, account, temporary=temporary)


def write_private(path: Path, text: str) -> None:
    """Replace a file by another text in one step; only its owner can read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _lock(path: Path) -> int | None:
    """Lock a folder for as long as the returned descriptor, or a copy of it, is open. None: another holds it."""
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _remove_abandoned(parent: Path) -> None:
    """Remove the temporary folders of our own user's stacks that were killed."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else removes it at the same time, or it is not ours to remove
            status = path.lstat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and (path / _LOCK).exists()
            if not ours or time.time() - status.st_mtime < _SETTLED_SECONDS:
                continue
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path)
                os.close(lock)
