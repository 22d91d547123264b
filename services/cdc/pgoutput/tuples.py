"""Row versions ("TupleData") as pgoutput writes them: the innermost loop of the service.

Layout: Int16 number of columns; for each a byte of kind, and for 't' and 'b' an Int32 length and that many bytes.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - struct names its exception in lower case

from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import UNCHANGED, ColumnValue, TupleData

NULL, TOASTED, TEXT, BINARY = b"nutb"

_read_count: Callable[[bytes, int], tuple[int]] = Struct("!H").unpack_from
_read_length: Callable[[bytes, int], tuple[int]] = Struct("!I").unpack_from


def read_tuple(data: bytes, position: int) -> tuple[TupleData, int]:
    """Read one row version.

    Args:
        data: A whole pgoutput message.
        position: Where in it the row version starts.

    Returns:
        The values, and the position after the last one.

    Raises:
        PgoutputError: It does not fit in the message, has a column of unknown kind, or text that is not UTF-8.
    """
    values: list[ColumnValue] = []
    append = values.append
    size = len(data)
    try:
        (count,) = _read_count(data, position)
        position += 2
        for _ in range(count):
            kind = data[position]
            if kind == TEXT:
                start = position + 5
                position = start + _read_length(data, position + 1)[0]
                if position > size:
                    raise PgoutputError("a column value reaches beyond its message")
                append(data[start:position].decode())
            elif kind == NULL:
                position += 1
                append(None)
            elif kind == TOASTED:
                position += 1
                append(UNCHANGED)
            elif kind == BINARY:
                start = position + 5
                position = start + _read_length(data, position + 1)[0]
                if position > size:
                    raise PgoutputError("a column value reaches beyond its message")
                append(data[start:position])
            else:
                raise PgoutputError(f"unknown kind of column value: 0x{kind:02x}")
    except (StructError, IndexError):
        raise PgoutputError("a row ends within a column") from None
    except UnicodeDecodeError:
        raise PgoutputError("a column value is not UTF-8") from None
    return tuple(values), position
