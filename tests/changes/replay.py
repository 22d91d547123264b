"""Do the row changes that were told lead from what a table held to what it holds? Pure.

They are carried out on the rows of before, one after the other: an insert adds a row, a delete takes away one that the
replica identity's values match, an update does both. What results must be what is there, row by row. So a change that
is missing, told twice, told of a transaction that was rolled back, or told with a wrong value, is found; and so is an
update that leaves out a column that changed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue
from tests.changes.content import Row

_SHOWN = 3  # rows of a difference that are shown
_SHOWN_LENGTH = 60  # characters of a value


class NotTold(Exception):
    """What was told does not lead to what is there; the message says where."""


def replay(columns: Sequence[str], before: Sequence[Row], after: Sequence[Row], told: Sequence[Changes]) -> None:
    """Carry out what was told of a table.

    Args:
        columns: Of the table, in the order of its rows' values; the same before and after.
        before: Its rows.
        after: Its rows.
        told: The row changes, in order.

    Raises:
        NotTold: They do not lead from the one to the other.
    """
    rows: list[dict[str, object]] = [dict(zip(columns, row, strict=True)) for row in before]
    for event in told:
        for change in event.rows:
            _carry_out(rows, change, event.key_columns)
    here = Counter(tuple(row.get(name) for name in columns) for row in rows)
    there: Counter[tuple[object, ...]] = Counter(map(tuple, after))
    # A long value that an insert or update carries only as its hash stands for whatever has that hash.
    _resolve_hashes(here, there)
    if here != there:
        missing, extra = list((there - here).elements()), list((here - there).elements())
        raise NotTold(f"rows that came untold: {_show(missing)}; rows that went untold: {_show(extra)}")


def _carry_out(rows: list[dict[str, object]], change: RowChange, key_columns: Sequence[str]) -> None:
    if change.op == "insert":
        assert change.new is not None
        rows.append(dict(change.new))
        return
    known = change.old if change.old is not None else change.key
    if known is None and change.new is not None:
        known = {name: change.new[name] for name in key_columns if name in change.new}
    row = next((row for row in rows if _matches(row, known or {})), None)
    if row is None:
        raise NotTold(f"a row changed that is not there: {change.op} of {known}")
    if change.op == "delete":
        rows.remove(row)
        return
    assert change.new is not None
    new: dict[str, object] = {**{name: row.get(name) for name in change.unchanged_toast}, **change.new}
    silent = [
        name
        for name, value in new.items()
        if not _same(row.get(name), value) and name not in change.changed and name not in key_columns
    ]
    if silent:
        raise NotTold(f"columns changed that are not called changed: {silent}, in an update of {known}")
    row.clear()
    row.update(new)


def _matches(row: Mapping[str, object], known: Mapping[str, object]) -> bool:
    return all(_same(row.get(name), value) for name, value in known.items())


def _same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, HashedValue):
        return _hash(one) == other
    if isinstance(one, HashedValue) and isinstance(other, str):
        return one == _hash(other)
    return one == other


def _hash(text: str) -> HashedValue:
    data = text.encode()
    return HashedValue(length=len(data), sha256=sha256(data).hexdigest())


def _resolve_hashes(here: "Counter[tuple[object, ...]]", there: "Counter[tuple[object, ...]]") -> None:
    for row in [row for row in here if any(isinstance(value, HashedValue) for value in row)]:
        count = here.pop(row)
        for _ in range(count):
            same = next(
                (other for other in there if here[other] < there[other] and all(map(_same, row, other))),
                row,
            )
            here[same] += 1


def _show(rows: Sequence[Sequence[object]]) -> str:
    shown = [tuple(str(value)[:_SHOWN_LENGTH] for value in row) for row in rows[:_SHOWN]]
    return f"{len(rows)} {shown}" if rows else "none"
