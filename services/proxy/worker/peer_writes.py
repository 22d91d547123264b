"""What the workers of one proxy tell each other of acknowledged writes, through memory that they share.

Each worker has a ring of its own in one file, to which it alone writes, and a count of what it has written ever. The
others compare counts before they serve: a few bytes, no call. A write is in the ring before its acknowledgement is
handed to the client, so whoever the client asks next finds it there. Nothing is waited for: who has been away for
longer than a ring holds takes it that anybody has written anything.
"""

import fcntl
import mmap
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from services.proxy.session.write_scope import Written
from services.shared.runtime.lifecycle import Refusal

_RING = 1024  # writes of a worker that are told, one relation each
_FIELDS = 3  # of a place in the ring: its number, the group, the relation
_ANY = 0  # no relation has this OID
_WORD = 8
_OWNER_ONLY = 0o700


class PeerWrites:
    """One worker's place among the workers of its proxy."""

    def __init__(self, path: Path, count: int, index: int) -> None:
        """Take the place.

        What was told before does not matter: nothing is served until a probe is covered that is sent from now on.

        Args:
            path: The file; made if it is not there.
            count: How many workers there are.
            index: Which of them this is.

        Raises:
            Refusal: The file cannot be had, or somebody else may write to it.
        """
        self._count, self._index = count, index
        try:
            _own_directory(path.parent)
            self._lock, self._memory = _opened(path, index, _WORD * count * (1 + _RING * _FIELDS))
        except BlockingIOError as error:
            raise Refusal(
                f"TIDEGATE_TOKEN_SCOPE: another process is worker {index} of those who share {path}"
            ) from error
        except OSError as error:
            raise Refusal(
                f"TIDEGATE_TOKEN_SCOPE: the workers cannot share {path}: {error.strerror or error}. Have its directory "
                "belong to us alone, or set TIDEGATE_WORKERS = 1."
            ) from error
        self._words = memoryview(self._memory).cast("Q")
        self._heads = memoryview(self._memory)[: _WORD * count]
        self._seen = bytearray(self._heads)

    @property
    def unheard(self) -> bool:
        """See `WritesOfPeers`."""
        return self._heads != self._seen

    def tell(self, group: int, relations: Iterable[int | None]) -> None:
        """See `WritesOfPeers`."""
        head = self._words[self._index]
        for relation in relations:
            at = self._place(self._index, head)
            self._words[at] = 0  # nobody takes the old place with what is new in it
            self._words[at + 1], self._words[at + 2] = group, _ANY if relation is None else relation
            head += 1
            self._words[at] = head
            self._words[self._index] = head
        own = slice(_WORD * self._index, _WORD * (self._index + 1))
        self._seen[own] = self._heads[own]

    def take(self) -> list[Written]:
        """See `WritesOfPeers`."""
        before, self._seen = memoryview(self._seen).cast("Q"), bytearray(self._heads)
        now = memoryview(self._seen).cast("Q")
        told: list[Written] = []
        for worker in range(self._count):
            if worker != self._index:
                told += self._of(worker, before[worker], now[worker])
        return told

    def _of(self, worker: int, first: int, end: int) -> list[Written]:
        """Return what a worker has told, from one of its counts to another."""
        if not 0 <= end - first <= _RING:
            return [Written(None, None)]
        told = []
        for number in range(first, end):
            at = self._place(worker, number)
            group, relation = self._words[at + 1], self._words[at + 2]
            if self._words[at] != number + 1:  # it was written over meanwhile, or has not got here in order
                return [Written(None, None)]
            told.append(Written(group, None if relation == _ANY else relation))
        return told

    def _place(self, worker: int, number: int) -> int:
        return self._count + (worker * _RING + number % _RING) * _FIELDS


def shared_file(cache: str, host: str, port: int) -> Path:
    """Return the file of the workers that share a port.

    In memory where there is such a place: nobody tidies up there while a proxy runs, as they may among temporary files.
    """
    place = Path("/dev/shm")  # noqa: S108 - a directory of ours in it
    parent = place if place.is_dir() else Path(tempfile.gettempdir())
    return parent / f"tidegate-{os.geteuid()}" / f"{cache}-{host.replace('/', '_')}-{port}.writes"


def _opened(path: Path, index: int, size: int) -> tuple[int, mmap.mmap]:
    """Open the file, and take a worker's place in it for as long as the process lives.

    Raises:
        BlockingIOError: Another process has it.
        OSError: The file cannot be had.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return descriptor, mmap.mmap(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise


def _own_directory(directory: Path) -> None:
    directory.mkdir(mode=_OWNER_ONLY, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(None, "others may write in its directory")
