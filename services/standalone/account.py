"""Which user the embedded servers run as.

Postgres refuses to run as root. A stack that root starts therefore runs its servers as an unprivileged user that exists
on every machine; no user is ever created. Everybody else runs them as himself.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from services.shared.runtime.lifecycle import Refusal

_UNPRIVILEGED = ("tidegate", "nobody", "postgres")
"""In order of preference. `postgres` is last: where it exists it may own a real cluster, which is not ours to reach."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine, to whom a server is dropped."""

    name: str
    user_id: int
    group_id: int


class NoAccountError(Refusal):
    """Root starts the stack, and there is no unprivileged user to run the servers."""


def server_account() -> Account | None:
    """Return the user to run the servers as, or None to run them as the present user.

    Raises:
        NoAccountError: We are root, and none of the known unprivileged users exists.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise NoAccountError(
        "Postgres refuses to run as root, and none of the users "
        f"{', '.join(_UNPRIVILEGED)} exists: create one (`useradd --system tidegate`) or start Tidegate as another user"
    )


def may_enter(account: Account | None, path: Path, *, read: bool = True) -> bool:
    """Whether a user gets to a file or folder (and may read it), by the permission bits of it and the folders above."""
    if account is None:
        return os.access(path, os.R_OK if read else os.X_OK)
    resolved = path.resolve()
    enter = all(_grants(account, folder, stat.S_IXOTH) for folder in resolved.parents)
    if resolved.is_dir():
        return enter and _grants(account, resolved, stat.S_IXOTH | (stat.S_IROTH if read else 0))
    return enter and _grants(account, resolved, stat.S_IROTH)


def _grants(account: Account, path: Path, wanted: int) -> bool:
    """Whether a file's bits grant a user what `wanted` says in the bits for others."""
    status = path.stat()
    shift = 6 if status.st_uid == account.user_id else 3 if status.st_gid == account.group_id else 0
    return (status.st_mode >> shift) & wanted == wanted
