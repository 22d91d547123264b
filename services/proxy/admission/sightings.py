"""What was asked for lately, by numbers that stand for reads. Pure.

Two generations of a table, the newer one being written; when it is full it becomes the older one, and what that had is
forgotten. A number's cell is where the number says, and the later of two has it: then the other one was not seen.
"""

from array import array

_CELLS = 1 << 18  # of a generation, of 4 bytes
_MOST_NOTED = _CELLS // 2  # in one
_FINGERPRINT = 0xFFFF_FFFF


class Sightings:
    """Remembers the last 130,000 numbers at least, but for one in five. It takes no memory before it is used."""

    __slots__ = ("_newer", "_noted", "_older")

    def __init__(self) -> None:
        self._newer = array("I")
        self._older = array("I")
        self._noted = _MOST_NOTED

    def again(self, number: int) -> bool:
        """Tell whether a number was seen lately, and note that it is now."""
        cell, fingerprint = (number >> 4) % _CELLS, (number >> 8) & _FINGERPRINT or 1
        newer = self._newer
        if newer and newer[cell] == fingerprint:
            return True
        if self._noted >= _MOST_NOTED:
            self._older, self._noted = newer, 0
            newer = self._newer = array("I", bytes(_CELLS * newer.itemsize))
        newer[cell] = fingerprint
        self._noted += 1
        older = self._older
        return bool(older) and older[cell] == fingerprint
