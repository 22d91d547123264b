"""A stored answer and what it depends on. Pure.

The values are kept as the scripts use them: positions as cells, names one to a line.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from services.shared.keyspace.cells import join_positions, split_positions
from services.shared.keyspace.tags import entry_tag, shape_tag
from services.shared.position import Position
from services.shared.relation import Shape, relation_of_tag

MAX_NAMES = 2_000
"""Tags (or shapes, or relations) of one entry: Lua's stack takes 8,000, and more is not worth keeping."""

_SEPARATOR = "\n"  # stands in no tag, and in no shape's id, which is JSON


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One answer as it stands in Redis.

    Attributes:
        q0: Applied position per partition, noted before the query was sent.
        tags: What it depends on; evicting one of them kills it.
        relations: The relations that it depends on, each tag's among them.
        shapes: Ids of the shapes that its tags rest on. Those of whole relations need no registration: a relation's own
            tag is evicted by every change.
        body: The answer, opaque here.
        filled_at: Unix seconds, for people only.

    Raises:
        ValueError: The dependencies contradict each other; an eviction would pass the entry by.
    """

    q0: tuple[Position, ...]
    tags: tuple[str, ...]
    relations: tuple[int, ...]
    shapes: tuple[str, ...]
    body: bytes
    filled_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if max(len(self.tags), len(self.relations), len(self.shapes)) > MAX_NAMES:
            raise ValueError(f"an entry with more than {MAX_NAMES} tags, relations or shapes")
        relations = frozenset(self.relations)
        for tag in self.tags:
            if relation_of_tag(tag) not in relations:
                raise ValueError(f"an entry with the tag {tag}, but without its relation")
        tags = frozenset(self.tags)
        for shape_id in self.shapes:
            if tags.isdisjoint(_tags_of_shape(shape_id)):
                raise ValueError(f"an entry with the shape {shape_id}, but without a tag of it")


@lru_cache(maxsize=4096)
def _tags_of_shape(shape_id: str) -> tuple[str, str]:
    """Return the two tags of which an entry carries one; shapes are as few as templates."""
    shape = Shape.parse(shape_id)
    return shape_tag(shape), entry_tag(shape)


@lru_cache(maxsize=4096)
def _is_registered(shape_id: str) -> bool:
    return not Shape.parse(shape_id).is_whole_relation


def entry_arguments(entry: StoredEntry) -> tuple[str | bytes, ...]:
    """Write an entry for FILL: q, tags, relations, shapes, filled at, body."""
    return (
        join_positions(entry.q0),
        _SEPARATOR.join(entry.tags),
        _SEPARATOR.join(map(str, entry.relations)),
        _SEPARATOR.join(filter(_is_registered, entry.shapes)),
        f"{entry.filled_at:.3f}",
        entry.body,
    )


def parse_entry(q0: bytes, tags: bytes, relations: bytes, shapes: bytes, filled_at: bytes, body: bytes) -> StoredEntry:
    """Read an entry from a reply of READ.

    Raises:
        ValueError: It is not what FILL wrote.
    """
    return StoredEntry(
        q0=split_positions(q0),
        tags=split_names(tags),
        relations=tuple(map(int, split_names(relations))),
        shapes=split_names(shapes),
        body=body,
        filled_at=float(filled_at),
    )


def join_names(names: Iterable[str]) -> str:
    """Write names one to a line."""
    return _SEPARATOR.join(names)


def split_names(text: bytes) -> tuple[str, ...]:
    """Read names that stand one to a line."""
    return tuple(text.decode().split(_SEPARATOR)) if text else ()
