"""What is made of files and made anew when they change: certificates are replaced while the proxy runs.

The files are looked at whenever their content is wanted, which is once a TLS handshake: two `stat` calls beside
milliseconds of arithmetic. Whoever renews a certificate has nothing to signal.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from services.shared.runtime.refusal import Refusal

_Made = TypeVar("_Made")
_Signature = tuple[tuple[int, int, int] | None, ...]

_log = structlog.get_logger()


class WatchedFiles(Generic[_Made]):
    """The newest good reading of some files."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], _Made]) -> None:
        """Read them for the first time.

        Args:
            paths: The files.
            read: Makes something of them, or raises `Refusal`.

        Raises:
            Refusal: They are no good.
        """
        self._paths = tuple(paths)
        self._read = read
        self._signature = self._look()
        self._made = read()

    def current(self) -> _Made:
        """Return what the files say now; while they are no good (half replaced), what they said before."""
        signature = self._look()
        if signature != self._signature:
            self._signature = signature  # what is no good is not read again before it changes
            try:
                self._made = self._read()
                _log.info("changed files were read", files=[str(path) for path in self._paths])
            except Refusal as refusal:
                _log.warning("changed files are no good: the earlier ones stay in use", error=str(refusal))
        return self._made

    def _look(self) -> _Signature:
        return tuple(_signature(path) for path in self._paths)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
