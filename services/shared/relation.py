"""Shapes and tags: what an answer depends on, and what a row change may alter.

A *shape* is a relation and the columns that a template holds equal to values, or one that it holds in a range; without
columns it is the whole relation. A *tag* is a shape with values, or with a block of values. The proxy computes the tags
of an answer, the invalidator those of a row change; both must come to the same text, so the code stands here once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

_ENTRY_BYTES = 4  # an OID's place in catalogs and records
_TAG_DIGEST_BYTES = 12  # 96 bits: a false merge only over-evicts, and will not happen


CATALOG = 0
"""Stands in the place of a relation for the catalog, where something in that has changed. No relation has this OID."""


class ShapeColumn(NamedTuple):
    """A column held equal to a value, with its type, which decides the canonical form."""

    name: str
    type_oid: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A relation and the columns that a template holds equal to values, or within a range; none: all rows.

    Attributes:
        relation: The relation's OID.
        columns: The columns that are equal to values.
        watched: Columns of which an update has to touch one to matter, those here among them; None: any update does.
        ranged: The column that is within a range.
    """

    relation: int
    columns: tuple[ShapeColumn, ...] = ()
    watched: tuple[str, ...] | None = None
    ranged: ShapeColumn | None = None

    @property
    def named(self) -> tuple[ShapeColumn, ...]:
        """The columns of which a row's values decide whether it matters."""
        return self.columns if self.ranged is None else (*self.columns, self.ranged)

    @property
    def is_whole_relation(self) -> bool:
        """Whether every change of the relation matters."""
        return not self.named and self.watched is None

    @property
    def id(self) -> str:
        """The shape as compact JSON: its name in Redis, and enough to match row changes with."""
        return _shape_id(self)

    @classmethod
    def parse(cls, shape_id: str | bytes) -> "Shape":
        """Read a shape's id.

        Raises:
            ValueError: The text is not a shape's id.
        """
        parts: list[Any] = [*json.loads(shape_id), None, None]
        relation, columns, watched, ranged = parts[:4]
        return cls(
            int(relation),
            tuple(map(_column, columns)),
            None if watched is None else tuple(map(str, watched)),
            None if ranged is None else _column(ranged),
        )


@lru_cache(maxsize=10_000)
def _shape_id(shape: Shape) -> str:
    """Shapes are few and their ids are wanted for every tag."""
    parts: list[object] = [shape.relation, shape.columns, shape.watched, shape.ranged]
    while parts[-1] is None:
        del parts[-1]
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=True)


def _column(parsed: Sequence[object]) -> ShapeColumn:
    name, type_oid = parsed
    return ShapeColumn(str(name), int(str(type_oid)))


def relation_tag(relation: int) -> str:
    """Return the tag of the whole relation: every change of the relation touches it."""
    return f"{relation}:*"


def value_tag(shape: Shape, canonical_values: Sequence[bytes]) -> str:
    """Return the tag of a shape with values.

    Args:
        shape: The shape.
        canonical_values: Of its columns, in their order (see `keyspace.canonical`), then the block of the range.
    """
    (tag,) = value_tags(shape, (canonical_values,))
    return tag


def value_tags(shape: Shape, rows: Iterable[Sequence[bytes]]) -> list[str]:
    """Return the tags of a shape with several lists of values; see `value_tag`."""
    begun = blake2b(shape.id.encode(), digest_size=_TAG_DIGEST_BYTES)
    tags: list[str] = []
    for values in rows:
        digest = begun.copy()
        for value in values:
            digest.update(len(value).to_bytes(4, "big") + value)
        tags.append(f"{shape.relation}:{digest.hexdigest()}")
    return tags


def relation_of_tag(tag: str) -> int:
    """Return the relation that a tag belongs to."""
    return int(tag.partition(":")[0])


def ancestors_by_relation(parents: Mapping[int, Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Return all that each relation is a part of, the nearest first, each once: it may be reached in several ways.

    Args:
        parents: What each relation is a partition or, by INHERITS, a child of; several only by INHERITS.
    """
    found: dict[int, tuple[int, ...]] = {}
    for relation, nearest in parents.items():
        above = dict.fromkeys(nearest)
        level = list(above)
        while level:
            level = [oid for below in level for oid in parents.get(below, ()) if oid not in above]
            above |= dict.fromkeys(level)
        found[relation] = tuple(above)
    return found


def tree_entry(tables: Iterable[tuple[int, int]]) -> int:
    """Return what stands for the publication entry of a table that has rows in others: another one if any of theirs is.

    Args:
        tables: OID and publication entry of each table that its rows are in; 0 for one that is not followed.
    """
    text = repr(sorted(tables))
    return int.from_bytes(blake2b(text.encode(), digest_size=_ENTRY_BYTES).digest())
