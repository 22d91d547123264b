"""What was told either leads from the one content to the other, or it does not."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from schemas.changes import Changes, RowChange
from schemas.fields import HashedValue
from tests.changes.replay import NotTold, replay

_COLUMNS = ("id", "v")
_ONE, _TWO = ("1", "a"), ("2", "b")


def _told(*rows: RowChange, key_columns: Sequence[str] = ("id",)) -> list[Changes]:
    return [
        Changes(
            schema_name="s1", table="t", commit_lsn="0/8", xid=700, commit_time=datetime.now(UTC), rows=list(rows),
            part=0, last=True, relation=1, identity="default", key_columns=list(key_columns), end_lsn="0/10",
            cache="default", epoch="1/2/3/4/5/6", incarnation="0/1", k=1,
        )
    ]  # fmt: skip


def _insert(identifier: str, v: object) -> RowChange:
    return RowChange(op="insert", key={"id": identifier}, changed=[], new={"id": identifier, "v": v})  # type: ignore[dict-item]  # a value


def _update(
    identifier: str, v: str, *, old: dict[str, str] | None = None, changed: Sequence[str] = ("v",)
) -> RowChange:
    new = {"id": identifier, "v": v}
    return RowChange(op="update", key={"id": identifier}, changed=list(changed), old=old, new=new)  # type: ignore[arg-type]  # a Row may hold more


def _delete(identifier: str) -> RowChange:
    return RowChange(op="delete", key={"id": identifier}, changed=[], old={"id": identifier})


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([_ONE, _TWO], []),
        ([_ONE, _TWO, ("3", None)], [_insert("3", None)]),
        ([_TWO], [_delete("1")]),
        ([("1", "c"), _TWO], [_update("1", "c")]),
        ([("9", "a"), _TWO], [_update("9", "a", old={"id": "1"}, changed=["id"])]),
        ([_ONE, _TWO], [_delete("1"), _insert("1", "a")]),
        ([_ONE, _TWO], [_update("1", "a")]),
    ],
    ids=["nothing", "insert", "delete", "update", "key", "and back", "no change"],
)
def test_what_was_told_rightly_is_accepted(after: list[tuple[str | None, ...]], told: list[RowChange]) -> None:
    replay(_COLUMNS, [_ONE, _TWO], after, _told(*told))


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([_ONE], []),
        ([_ONE, _TWO], [_insert("3", "c")]),
        ([_ONE, _TWO, ("3", "c")], [_insert("3", "d")]),
        ([("9", "a"), _TWO], [_update("9", "a")]),
        ([("1", "c"), _TWO], [_update("1", "c", changed=[])]),
        ([_ONE], [_delete("7")]),
        ([_ONE, _TWO, ("3", "c"), ("3", "c")], [_insert("3", "c")]),
    ],
    ids=["missing", "too much", "wrong value", "old key", "silent column", "unknown row", "once of twice"],
)
def test_what_was_told_wrongly_is_noticed(after: list[tuple[str | None, ...]], told: list[RowChange]) -> None:
    with pytest.raises(NotTold):
        replay(_COLUMNS, [_ONE, _TWO], after, _told(*told))


def test_a_long_value_is_known_by_its_hash() -> None:
    long = "x" * 300
    hashed = HashedValue(length=300, sha256="98e2cf0ef9ce71d3cc0ffa6f4ea8e29e8e8fa2ac87a3fffc1b0e1ce1e8ff7a2c")
    with pytest.raises(NotTold):
        replay(_COLUMNS, [], [("1", long)], _told(_insert("1", hashed)))


def test_what_was_too_long_to_be_sent_stays() -> None:
    row = RowChange(op="update", key={"id": "1"}, changed=[], new={"id": "1"}, unchanged_toast=["v"])
    replay(_COLUMNS, [_ONE], [_ONE], _told(row))
