"""The tables that the workload writes and reads, and how an answer's rows become keys and versions.

`items` are few and written all the time, some of them often, most of them seldom: an eviction that is lost shows on
those that nobody writes again soon. `bulk` is what a huge transaction changes from end to end, so its rows share one
version, and one key. The last group of items belongs to that transaction alone: it holds their locks for long.
"""

from collections.abc import Iterable

from tests.chaos.history import MISSING

GROUP_ROWS = 8
ITEMS = range(1, 129)
HOT_ITEMS = ITEMS[:GROUP_ROWS]
BULK_ITEMS = range(ITEMS.stop, ITEMS.stop + GROUP_ROWS)
ALL_ITEMS = range(ITEMS.start, BULK_ITEMS.stop)
GROUPS = range(len(ALL_ITEMS) // GROUP_ROWS)
BULK_ROWS = 1_000_000
FEW_ROWS = 1_000
_FIRST_BULK = 1_000_000

BULK = "bulk"
"""The key of every row of `bulk`."""

READ_ITEM = "SELECT id, version FROM items WHERE id = %s"
READ_GROUP = "SELECT id, version FROM items WHERE grp = %s ORDER BY id"
READ_BULK = "SELECT id, version FROM bulk WHERE id = %s"
WRITE_ITEM = "UPDATE items SET version = %s WHERE id = %s AND version < %s"
WRITE_BULK = "UPDATE bulk SET version = %s WHERE version < %s"
FRESH = "SELECT id, version FROM items UNION ALL SELECT min(id), version FROM bulk GROUP BY version"

Row = tuple[int, int]
Values = tuple[tuple[str, int], ...]


def schema(bulk_rows: int) -> str:
    """Return what makes the tables."""
    return f"""
        CREATE TABLE items (id int PRIMARY KEY, grp int NOT NULL, version bigint NOT NULL);
        CREATE INDEX ON items (grp);
        INSERT INTO items SELECT n, (n - 1) / {GROUP_ROWS}, 0
            FROM generate_series({ALL_ITEMS.start}, {ALL_ITEMS.stop - 1}) n;
        CREATE TABLE bulk (id int PRIMARY KEY, version bigint NOT NULL);
        INSERT INTO bulk SELECT n, 0 FROM generate_series({_FIRST_BULK + 1}, {_FIRST_BULK + bulk_rows}) n;
        ANALYZE;
    """


def bulk_id(number: int) -> int:
    """Return the id of one of the rows of `bulk`, from 0."""
    return _FIRST_BULK + 1 + number


def key_of(row_id: int) -> str:
    """Return the key of a row."""
    return BULK if row_id > _FIRST_BULK else f"item {row_id}"


def group_of(item: int) -> int:
    """Return the group of an item."""
    return (item - 1) // GROUP_ROWS


def items_of(group: int) -> range:
    """Return the items of a group."""
    first = ALL_ITEMS.start + group * GROUP_ROWS
    return range(first, first + GROUP_ROWS)


def values_of(asked: Iterable[int], rows: Iterable[Row]) -> Values:
    """Return what an answer tells of the rows that were asked for."""
    found = dict(rows)
    return tuple((key_of(row_id), found.get(row_id, MISSING)) for row_id in asked)
