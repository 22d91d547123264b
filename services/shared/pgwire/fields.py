"""Integers, strings and values inside a message, read with every bound checked and written with every range checked.

All integers of the protocol are big-endian. A *cstring* ends with one NUL and holds none. A *counted* value is a
32-bit length and that many bytes, where length -1 means NULL. The texts of the errors are those of Postgres
(pqformat.c), so that a client sees from us what it would see from the server.
"""

import struct
from collections.abc import Callable, Iterable, Sequence

from services.shared.pgwire.errors import ProtocolViolation, Unencodable

NULL_LENGTH = -1
"""The length word of a counted value that is NULL."""

_MAX_COUNT = 0xFFFF  # Postgres reads the count of parameters, formats and columns as an unsigned 16-bit integer
_MAX_LENGTH = 0x7FFFFFFF  # a length word is a signed 32-bit integer

_Unpack = Callable[[bytes, int], tuple[int, ...]]

_UINT8: _Unpack = struct.Struct(">B").unpack_from
_INT16: _Unpack = struct.Struct(">h").unpack_from
_UINT16: _Unpack = struct.Struct(">H").unpack_from
_INT32: _Unpack = struct.Struct(">i").unpack_from
_UINT32: _Unpack = struct.Struct(">I").unpack_from
_INT64: _Unpack = struct.Struct(">q").unpack_from
_UINT64: _Unpack = struct.Struct(">Q").unpack_from


def to_text(raw: bytes) -> str:
    """Decode UTF-8, keeping any other byte as a lone surrogate: lossless for all bytes, never an error."""
    return raw.decode("utf-8", "surrogateescape")


def from_text(text: str) -> bytes:
    """Write back what `to_text` read.

    Raises:
        Unencodable: The text holds a surrogate that `to_text` cannot have made.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise Unencodable(f"text is not encodable at character {error.start}") from error


def _too_short() -> ProtocolViolation:
    return ProtocolViolation("insufficient data left in message")


class FieldReader:
    """A cursor over one message body. Every method raises `ProtocolViolation` when the bytes run out, and only that."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        """Read `data[start:end]` without copying it.

        Raises:
            ValueError: The bounds do not lie inside the data, which is the caller's mistake.
        """
        stop = len(data) if end is None else end
        if not 0 <= start <= stop <= len(data):
            raise ValueError(f"bounds {start}:{stop} outside {len(data)} bytes")
        self._data = data
        self._at = start
        self._end = stop

    @property
    def offset(self) -> int:
        """Where the next field starts in the data."""
        return self._at

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return self._end - self._at

    def _integer(self, unpack: _Unpack, size: int) -> int:
        at = self._at
        if at + size > self._end:
            raise _too_short()
        self._at = at + size
        return unpack(self._data, at)[0]

    def uint8(self) -> int:
        """Read one byte as 0..255."""
        return self._integer(_UINT8, 1)

    def int16(self) -> int:
        """Read a signed 16-bit integer."""
        return self._integer(_INT16, 2)

    def uint16(self) -> int:
        """Read an unsigned 16-bit integer; counts are of this kind."""
        at = self._at  # as `_integer`, without the call: every list starts with a count
        if at + 2 > self._end:
            raise _too_short()
        self._at = at + 2
        return _UINT16(self._data, at)[0]

    def int32(self) -> int:
        """Read a signed 32-bit integer."""
        return self._integer(_INT32, 4)

    def uint32(self) -> int:
        """Read an unsigned 32-bit integer; OIDs are of this kind."""
        return self._integer(_UINT32, 4)

    def int64(self) -> int:
        """Read a signed 64-bit integer."""
        return self._integer(_INT64, 8)

    def uint64(self) -> int:
        """Read an unsigned 64-bit integer; LSNs are of this kind."""
        return self._integer(_UINT64, 8)

    def take(self, size: int) -> bytes:
        """Read exactly `size` bytes."""
        at = self._at
        if size < 0 or at + size > self._end:
            raise _too_short()
        self._at = at + size
        return self._data[at : at + size]

    def rest(self) -> bytes:
        """Read everything that is left, which may be nothing."""
        return self.take(self._end - self._at)

    def cstring(self) -> bytes:
        """Read up to the next NUL and step over it."""
        at = self._at
        nul = self._data.find(b"\0", at, self._end)
        if nul < 0:
            raise ProtocolViolation("invalid string in message")
        self._at = nul + 1
        return self._data[at:nul]

    def text(self) -> str:
        """Read a cstring that the protocol itself defines; see `to_text`."""
        return to_text(self.cstring())

    def counted(self) -> bytes | None:
        """Read a value behind its 32-bit length; None is NULL."""
        size = self._integer(_INT32, 4)
        return None if size == NULL_LENGTH else self.take(size)

    def counted_values(self) -> tuple[bytes | None, ...]:
        """Read a 16-bit count and that many counted values: parameters or columns.

        Written out instead of calling `counted`, because every Bind and every decoded row comes through here.
        """
        count = self.uint16()
        data, at, end = self._data, self._at, self._end
        values: list[bytes | None] = []
        for _ in range(count):
            start = at + 4
            if start > end:
                raise _too_short()
            size = _INT32(data, at)[0]
            if size == NULL_LENGTH:
                at = start
                values.append(None)
                continue
            at = start + size
            if size < 0 or at > end:
                raise _too_short()
            values.append(data[start:at])
        self._at = at
        return tuple(values)

    def int16_list(self) -> tuple[int, ...]:
        """Read a 16-bit count and that many signed 16-bit integers; lists of format codes are of this kind."""
        return self._list("h", 2)

    def uint32_list(self) -> tuple[int, ...]:
        """Read a 16-bit count and that many unsigned 32-bit integers; lists of type OIDs are of this kind."""
        return self._list("I", 4)

    def _list(self, kind: str, size: int) -> tuple[int, ...]:
        count = self.uint16()
        if count == 0:
            return ()
        raw = self.take(count * size)  # refuses a count that the bytes do not bear out before anything is allocated
        return struct.unpack(f">{count}{kind}", raw)

    def expect_end(self) -> None:
        """Make sure that nothing is left.

        Raises:
            ProtocolViolation: Bytes follow the last field.
        """
        if self._at != self._end:
            raise ProtocolViolation("invalid message format")


def _pack(kind: str, value: int) -> bytes:
    try:
        return struct.pack(f">{kind}", value)
    except struct.error as error:
        raise Unencodable(f"integer out of range: {value}") from error


def pack_uint8(value: int) -> bytes:
    """Write one byte.

    Raises:
        Unencodable: The value is out of range, as for every function of this family.
    """
    return _pack("B", value)


def pack_int16(value: int) -> bytes:
    """Write a signed 16-bit integer."""
    return _pack("h", value)


def pack_uint16(value: int) -> bytes:
    """Write an unsigned 16-bit integer."""
    return _pack("H", value)


def pack_int32(value: int) -> bytes:
    """Write a signed 32-bit integer."""
    return _pack("i", value)


def pack_uint32(value: int) -> bytes:
    """Write an unsigned 32-bit integer."""
    return _pack("I", value)


def pack_int64(value: int) -> bytes:
    """Write a signed 64-bit integer."""
    return _pack("q", value)


def pack_uint64(value: int) -> bytes:
    """Write an unsigned 64-bit integer."""
    return _pack("Q", value)


def pack_cstring(raw: bytes) -> bytes:
    """Write a string and its NUL.

    Raises:
        Unencodable: The string holds a NUL, so the reader would see it end there.
    """
    if b"\0" in raw:
        raise Unencodable("NUL inside a string")
    return raw + b"\0"


def pack_text(text: str) -> bytes:
    """Write a cstring that the protocol itself defines; see `from_text`."""
    return pack_cstring(from_text(text))


def pack_counted(value: bytes | None) -> bytes:
    """Write a value behind its 32-bit length, or NULL."""
    if value is None:
        return pack_int32(NULL_LENGTH)
    if len(value) > _MAX_LENGTH:
        raise Unencodable(f"value of {len(value)} bytes does not fit a length word")
    return pack_int32(len(value)) + value


def pack_counted_values(values: Sequence[bytes | None]) -> bytes:
    """Write a 16-bit count and the counted values."""
    return pack_count(values) + b"".join([pack_counted(value) for value in values])


def pack_int16_list(values: Sequence[int]) -> bytes:
    """Write a 16-bit count and the signed 16-bit integers."""
    return pack_count(values) + b"".join(map(pack_int16, values))


def pack_uint32_list(values: Sequence[int]) -> bytes:
    """Write a 16-bit count and the unsigned 32-bit integers."""
    return pack_count(values) + b"".join(map(pack_uint32, values))


def pack_count(values: Sequence[object]) -> bytes:
    """Write how many values follow.

    Raises:
        Unencodable: There are more than 65,535.
    """
    if len(values) > _MAX_COUNT:
        raise Unencodable(f"{len(values)} values do not fit a 16-bit count")
    return pack_uint16(len(values))


def read_pairs(reader: FieldReader) -> tuple[tuple[str, str], ...]:
    """Read names and values up to an empty name: the parameters of a start-up message."""
    pairs: list[tuple[str, str]] = []
    while name := reader.text():
        pairs.append((name, reader.text()))
    return tuple(pairs)


def pack_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Write names and values and the empty name that ends them.

    Raises:
        Unencodable: A name is empty, so the reader would stop there.
    """
    parts: list[bytes] = []
    for name, value in pairs:
        if not name:
            raise Unencodable("empty parameter name")
        parts += (pack_text(name), pack_text(value))
    return b"".join(parts) + b"\0"
