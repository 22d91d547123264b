"""Shapes by relation."""

import pytest

from services.invalidator.shapes import registered_shapes
from services.invalidator.statistics import MOST_TABLES, InvalidatorStatistics
from services.shared.keyspace.state import Registry, absent_bucket
from services.shared.keyspace.tags import shape_tag
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


def test_their_wide_tags_are_those_of_shapes_that_ask_for_values() -> None:
    ranged = Shape(5, (), None, ShapeColumn("total", 23))
    shapes: dict[str, tuple[Position, ...]] = {
        shape.id: (START,) for shape in (BY_NAME, Shape(5), Shape(5, (), ("id",)), ranged)
    }
    registered = registered_shapes(Registry(absent_bucket(1), shapes, {}))
    assert registered.wide_tags == {shape_tag(BY_NAME), shape_tag(ranged)}


def test_of_many_tables_the_later_ones_are_counted_together() -> None:
    statistics = InvalidatorStatistics()
    for number in range(MOST_TABLES + 5):
        statistics.count_widened(f"public.t{number}")
        statistics.count_widened("public.t0")
    assert len(statistics.widened) == MOST_TABLES + 1
    assert (statistics.widened["public.t0"], statistics.widened["other"]) == (MOST_TABLES + 6, 5)
