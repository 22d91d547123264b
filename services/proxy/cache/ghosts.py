"""Which keys were in the cache of late and had to go: their hashes, and nothing else of them.

Two generations of a table, the newer one being written; when it is full it becomes the older one, and what the older
one had is forgotten. A cell is 32 bits of a hash, at the place that the hash says, so two keys may want the same cell,
and the later one has it: a ghost that is lost so costs a miss, one that is taken for another's costs a place in the
cache for a while. Both are rare, and a ghost takes 8 bytes where a set would take 70. Pure.
"""

from array import array
from zlib import crc32

_CELL_BYTES = 4
_GENERATIONS = 2
_CELLS_PER_KEY = 2  # in a full generation: of its keys one in five has lost its cell then
_FEWEST_KEYS = 32


class Ghosts:
    """Remembers at least as many keys as there are entries, and at most twice as many, as far as its room goes."""

    def __init__(self, most_bytes: int) -> None:
        """Start empty.

        Args:
            most_bytes: What both generations together may take.
        """
        self._most_cells = most_bytes // (_GENERATIONS * _CELL_BYTES)
        self._newer = array("I")
        self._older = array("I")
        self._room = 0  # for so many keys in the newer one

    def note(self, key: bytes, entry_count: int) -> None:
        """Remember a key.

        Args:
            key: What had to go.
            entry_count: How many entries there are: a generation that begins now remembers as many.
        """
        if not self._most_cells:
            return
        if self._room <= 0:
            cell_count = min(max(entry_count, _FEWEST_KEYS) * _CELLS_PER_KEY, self._most_cells)
            self._older = self._newer
            self._newer = array("I", bytes(cell_count * _CELL_BYTES))
            self._room = max(1, cell_count // _CELLS_PER_KEY)
        fingerprint = crc32(key) or 1
        self._newer[fingerprint % len(self._newer)] = fingerprint
        self._room -= 1

    def take(self, key: bytes) -> bool:
        """Tell whether a key is remembered, and forget it: it is back."""
        fingerprint = crc32(key) or 1
        for cells in (self._newer, self._older):
            if cells and cells[fingerprint % len(cells)] == fingerprint:
                cells[fingerprint % len(cells)] = 0
                return True
        return False
