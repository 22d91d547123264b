"""Row messages of pgoutput as the row changes of an event. Pure.

A value is carried as pgoutput's text. One of more than 256 bytes, or of a column that the settings want hidden, is
carried as its length and hash: enough to tell whether two are equal.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Literal, TypeAlias

from schemas.changes import RowChange
from schemas.fields import HashedValue, Row
from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.pgoutput.messages import (
    UNCHANGED,
    ColumnValue,
    Delete,
    Insert,
    Relation,
    ReplicaIdentity,
    RowMessage,
    TupleData,
    Update,
)
from services.cdc.tables import IDENTITIES, Table

CARRIED_BYTES = 256
"""The longest value that is carried as it is."""

_SURELY_CARRIED = CARRIED_BYTES // 4  # characters: none takes more than four bytes

EventValue: TypeAlias = str | HashedValue | None


class RowWriter:
    """Turns the rows of one relation, as it is described now, into row changes.

    Attributes:
        relation: The description.
        ancestors: The tables above it; a column of theirs that is to be hashed is one of its own.
        names: Its columns.
        key_columns: Those of its replica identity.
        fields: What every event of the relation says of it.
    """

    def __init__(self, relation: Relation, hashed_columns: frozenset[str], ancestors: tuple[Table, ...] = ()) -> None:
        """Prepare for a relation.

        Args:
            relation: Its description.
            hashed_columns: Columns that are always hashed, as `schema.table.column`.
            ancestors: The tables above it.
        """
        self.relation = relation
        self.ancestors = ancestors
        self.names = tuple(column.name for column in relation.columns)
        self.key_columns = tuple(column.name for column in relation.columns if column.is_key)
        tables = (f"{relation.schema}.{relation.name}", *map(str, ancestors))
        self._hashed = tuple(any(f"{table}.{name}" in hashed_columns for table in tables) for name in self.names)
        self._keys = tuple(index for index, column in enumerate(relation.columns) if column.is_key)
        self.fields: dict[str, object] = {
            "schema_name": relation.schema,
            "table": relation.name,
            "relation": relation.oid,
            "identity": IDENTITIES[relation.identity.value],
            "key_columns": list(self.key_columns),
        }
        self._others = tuple(name for name in self.names if name not in self.key_columns)
        # With FULL the key is the whole row: it says nothing that `old` and `new` do not.
        self._has_key = bool(self._keys) and relation.identity is not ReplicaIdentity.FULL

    def write(self, row: RowMessage) -> RowChange:
        """Turn one row message into a row change.

        Raises:
            PgoutputError: A value is binary, which is never asked for.
        """
        return _WRITERS[type(row)](self, row)

    def insert(self, row: Insert) -> RowChange:
        """A row that came."""
        new, _ = self._whole(row.new)
        return _change("insert", self._key(new), [], None, new, [])

    def delete(self, row: Delete) -> RowChange:
        """A row that went."""
        old = self._old(row.old, row.old_is_key)
        return _change("delete", self._key(old), [], old, None, [])

    def update(self, row: Update) -> RowChange:
        """A row that changed. Which columns did is known only where the old row is given; else all may have."""
        image = row.new
        if row.old is None:
            new, unchanged = self._whole(image)
            changed = [name for name in self._others if name in new] if unchanged else list(self._others)
            return _change("update", self._key(new), changed, None, new, unchanged)
        if not row.old_is_key:  # FULL gives what was too long to be sent again
            image = tuple(before if after is UNCHANGED else after for before, after in zip(row.old, image, strict=True))
        new, unchanged = self._whole(image)
        old = self._old(row.old, row.old_is_key)
        known = frozenset(self._keys) if row.old_is_key else frozenset(range(len(self.names)))
        changed = [
            name
            for index, name in enumerate(self.names)
            if image[index] is not UNCHANGED and (index not in known or image[index] != row.old[index])
        ]
        return _change("update", self._key(new), changed, old, new, unchanged)

    def _whole(self, image: TupleData) -> tuple[Row, list[str]]:
        """Return the values of a row, and the names of those that were not sent."""
        values: Row = {}
        unchanged: list[str] = []
        for name, value, hashed in zip(self.names, image, self._hashed, strict=True):
            if value.__class__ is str and not hashed and len(value) <= _SURELY_CARRIED:  # nearly all of them
                values[name] = value
            elif value is UNCHANGED:
                unchanged.append(name)
            else:
                values[name] = _value(value, hashed)
        return values, unchanged

    def _old(self, image: TupleData, is_key: bool) -> Row:
        """Return what is known of an old row. In a key's image the other columns are filler, not NULL."""
        if not is_key:
            return self._whole(image)[0]
        return {self.names[index]: _value(image[index], self._hashed[index]) for index in self._keys}

    def _key(self, values: Row) -> Row | None:
        if not self._has_key:
            return None
        try:
            return {name: values[name] for name in self.key_columns}
        except KeyError:  # a long one that did not change
            return None


_WRITERS: dict[type[RowMessage], Callable[[RowWriter, RowMessage], RowChange]] = {
    Insert: RowWriter.insert,  # type: ignore[dict-item]  # each gets the kind that it stands for
    Update: RowWriter.update,  # type: ignore[dict-item]  # as above
    Delete: RowWriter.delete,  # type: ignore[dict-item]  # as above
}


def _change(
    op: Literal["insert", "update", "delete"],
    key: Row | None,
    changed: list[str],
    old: Row | None,
    new: Row | None,
    unchanged_toast: list[str],
) -> RowChange:
    """Make a row change without checking it again: tens of thousands a second are made, from values of known types."""
    return RowChange.trusted(
        {"op": op, "key": key, "changed": changed, "old": old, "new": new, "unchanged_toast": unchanged_toast}
    )


def _value(value: ColumnValue, hashed: bool) -> EventValue:
    if value is None:
        return None
    if not isinstance(value, str):
        raise PgoutputError("a value is binary or unchanged where it cannot be")
    if not hashed and len(value) <= _SURELY_CARRIED:
        return value
    data = value.encode()
    if hashed or len(data) > CARRIED_BYTES:
        return HashedValue(length=len(data), sha256=sha256(data).hexdigest())
    return value
