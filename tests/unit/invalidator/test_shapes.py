"""Shapes by relation."""

import pytest

from services.invalidator.shapes import registered_shapes
from services.shared.keyspace.state import Registry, absent_bucket
from services.shared.position import START, Position
from services.shared.relation import Shape, ShapeColumn

BY_ID = Shape(5, (ShapeColumn("id", 23),))
BY_NAME = Shape(5, (ShapeColumn("name", 25),))


def test_are_found_by_relation_and_the_one_without_columns_is_left_out() -> None:
    shapes: dict[str, tuple[Position, ...]] = {shape.id: (START,) for shape in (BY_NAME, Shape(5), BY_ID, Shape(6))}
    registered = registered_shapes(Registry(absent_bucket(1), shapes, {}))
    assert set(registered.of(5)) == {BY_ID, BY_NAME}
    assert registered.of(6) == registered.of(7) == ()


def test_that_are_none_are_not_passed_over() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        registered_shapes(Registry(absent_bucket(1), {"rubbish": (START,)}, {}))
