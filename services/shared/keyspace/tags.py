"""What widens an eviction from a value to its shape. Pure.

A value tag names a shape with values. Where the old values of a changed row are unknown (an UPDATE under the default
replica identity gives none), every answer of the shape may have held that row: its *shape tag* is evicted. So an answer
that carries a value tag carries the tag of its shape as well. Or, if it shows the keys of all rows that it holds, the
tags of those, and the *entry tag* of the shape: that is evicted where the new values of a row are unknown.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from services.shared.relation import Shape, relation_tag, value_tag

_DIGEST_BYTES = 12  # as in value tags


@lru_cache(maxsize=10_000)
def shape_tag(shape: Shape) -> str:
    """Return the tag that every answer resting on a shape carries; that of a whole relation is the relation's."""
    if shape.is_whole_relation:
        return relation_tag(shape.relation)
    return f"{shape.relation}:{blake2b(shape.id.encode(), digest_size=_DIGEST_BYTES).hexdigest()}:*"


def entry_tag(shape: Shape) -> str:
    """Return the tag of answers that only rows can alter which they show, or which come to satisfy the shape."""
    return f"{shape_tag(shape)}+"


def occurrence_tags(shape: Shape, canonical_values: Sequence[bytes]) -> tuple[str, ...]:
    """Return the tags of one occurrence of a relation in a statement: of the values, and of the shape."""
    if not shape.named:
        return (shape_tag(shape),)
    return value_tag(shape, canonical_values), shape_tag(shape)
