"""The shapes that row changes are matched with, by relation. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.shared.keyspace.state import Registry
from services.shared.keyspace.tags import shape_tag
from services.shared.relation import Shape


@dataclass(frozen=True, slots=True)
class RegisteredShapes:
    """All shapes of one registry version.

    Attributes:
        version: The version; an eviction that was planned with another one is refused.
        by_relation: The shapes but for that of the whole relation, which every relation has, registered or not.
        wide_tags: The tags that stand for all values of a shape: evicted where a change does not tell which.
    """

    version: str
    by_relation: Mapping[int, tuple[Shape, ...]]
    wide_tags: frozenset[str] = frozenset()

    def of(self, relation: int) -> tuple[Shape, ...]:
        """Return a relation's shapes."""
        return self.by_relation.get(relation, ())


NO_SHAPES = RegisteredShapes("", {})


def registered_shapes(registry: Registry) -> RegisteredShapes:
    """Sort a registry's shapes by relation.

    Raises:
        ValueError: One of them is no shape.
    """
    by_relation: dict[int, tuple[Shape, ...]] = {}
    for shape_id in sorted(registry.shapes):
        shape = Shape.parse(shape_id)
        if not shape.is_whole_relation:
            by_relation[shape.relation] = (*by_relation.get(shape.relation, ()), shape)
    every = (shape for shapes in by_relation.values() for shape in shapes)
    return RegisteredShapes(
        registry.version, by_relation, frozenset(shape_tag(shape) for shape in every if shape.named)
    )
