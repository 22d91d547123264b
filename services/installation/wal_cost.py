"""How much more WAL a change writes when it tells more of the old row. Pure.

With REPLICA IDENTITY FULL every UPDATE and DELETE adds the old row to its WAL record: what `ExtractReplicaIdentity` and
`log_heap_update` in Postgres's `heapam.c` do. That is the row as it stands on its page, with what was moved to TOAST
brought back in as it is kept there (compressed), behind a header of five bytes. With another identity a DELETE adds the
key's columns in the same form, and an UPDATE adds nothing unless it changes them.

So the cost follows from the rows themselves, and nothing has to be written to know it: the lengths of the values in a
sample of rows, each at the place where Postgres aligns it. `tests/integration/test_identity_advice.py` holds the result
against what `EXPLAIN (ANALYZE, WAL)` counts.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

_RECORD_HEADER = 5  # SizeOfHeapHeader: what a row in a WAL record has in place of its own header
_ROW_HEADER = 23  # SizeofHeapTupleHeader; what follows it is in the WAL
_MAXIMAL_ALIGNMENT = 8
_LONG_DATA = 255  # longer data of a record has a length of four bytes in place of one
_LONG_DATA_BYTES = 3
_SHORT_VALUE = 127  # a value of varying length up to here has a header of one byte, and is not aligned


@dataclass(frozen=True, slots=True)
class SampledColumn:
    """A column of a table.

    Attributes:
        name: Its name.
        alignment: Where its values begin: at multiples of this many bytes.
        varying: Whether its values differ in length.
        lengths: Of its values in some rows, the same for all columns: bytes as they are kept; None where it is NULL.
    """

    name: str
    alignment: int
    varying: bool
    lengths: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class ChangeCost:
    """Bytes of WAL that an identity adds.

    Attributes:
        update: To an UPDATE.
        delete: To a DELETE.
    """

    update: float
    delete: float

    def of(self, updates: float, deletes: float) -> float:
        """Return what it adds to so many changes."""
        return updates * self.update + deletes * self.delete


def cost_of_full(columns: Sequence[SampledColumn], key: Collection[str]) -> ChangeCost:
    """Return what FULL adds.

    Args:
        columns: All columns, in the table's order.
        key: Those of the identity that there is.
    """
    row = _mean_told(columns, {column.name for column in columns})
    return ChangeCost(row, row - _mean_told(columns, key))


def cost_of_index(columns: Sequence[SampledColumn], key: Collection[str], index: Collection[str]) -> ChangeCost:
    """Return what an index as identity adds at most: an UPDATE that changes none of its columns adds nothing.

    Args:
        columns: All columns, in the table's order.
        key: Those of the identity that there is.
        index: The key columns of the index.
    """
    told = _mean_told(columns, index)
    return ChangeCost(told, max(0.0, told - _mean_told(columns, key)))


def _mean_told(columns: Sequence[SampledColumn], told: Collection[str]) -> float:
    """Return what a row of which these columns are told adds to a WAL record, on average; without columns none is."""
    count = len(columns[0].lengths) if columns and told else 0
    return sum(_told(columns, told, row) for row in range(count)) / count if count else 0.0


def _told(columns: Sequence[SampledColumn], told: Collection[str], row: int) -> int:
    """Return what one row adds: the columns that are not told are NULL in it."""
    length, nulls = 0, False
    for column in columns:
        value = column.lengths[row] if column.name in told else None
        if value is None:
            nulls = True
        else:
            alignment = 1 if column.varying and value <= _SHORT_VALUE else column.alignment
            length += -length % alignment + value
    data = _RECORD_HEADER + _bitmap(len(columns), nulls=nulls) + length
    return data + (_LONG_DATA_BYTES if data > _LONG_DATA else 0)


def _bitmap(count: int, *, nulls: bool) -> int:
    """Return what stands before the values: which of them are NULL, and what aligns the first."""
    header = _ROW_HEADER + ((count + 7) // 8 if nulls else 0)
    return header + -header % _MAXIMAL_ALIGNMENT - _ROW_HEADER
