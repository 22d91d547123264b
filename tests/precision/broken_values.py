"""Broken rules on values and row changes: what is equal, what is in a range, what a change tells."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

from schemas.changes import RowChange
from schemas.fields import Row
from services.cdc.change_events import ChangeEvents
from services.invalidator import planner
from services.proxy.session import answer_tags
from services.proxy.sql import (
    array_values,
    given_conditions,
    tag_families,
    tag_rules,
    value_sources,
)
from services.proxy.sql.snapshot import Column
from services.shared.keyspace import canonical, intervals, order_keys
from tests.precision.broken_statements import both

_patch = mock.patch.object


# -- row changes


def old_rows_are_dropped() -> Any:
    return _patch(planner, "_before", lambda row, after, keys: after)


def old_keys_are_dropped() -> Any:
    before = planner._before

    def of(row: RowChange, after: Row, keys: frozenset[str]) -> Row:
        key_only = row.old is not None and len(row.old) < len(after)
        return {name: after[name] for name in keys if name in after} if key_only else before(row, after, keys)

    return _patch(planner, "_before", of)


def deleted_rows_are_dropped() -> Any:
    images = planner.row_images
    return _patch(planner, "row_images", lambda row, keys: () if row.op == "delete" else images(row, keys))


def unsent_values_are_null() -> Any:
    images = planner.row_images

    def with_null(row: RowChange, keys: frozenset[str]) -> tuple[Row, ...]:
        unsent: Row = dict.fromkeys(row.unchanged_toast)
        return tuple({**unsent, **image} for image in images(row, keys))

    return _patch(planner, "row_images", with_null)


def partitions_stand_for_themselves() -> Any:
    bodies = ChangeEvents.bodies

    def alone(events: ChangeEvents, transaction: Any, xid: int) -> Any:
        events.ancestors = {}
        return bodies(events, transaction, xid)

    return _patch(ChangeEvents, "bodies", alone)


# -- values


def numbers_keep_their_zeros() -> Any:
    return _patch(canonical, "_decimal_form", lambda sign, digits, exponent: f"{sign}{digits}e{exponent}".encode())


def labels_are_numbers() -> Any:
    """Read the labels of an enum as something else in a statement than in a row change."""
    text = canonical.canonical_text
    labels = ("sad", "so so", "glad", "Glad")
    read = lambda oid, value: value.encode().hex().encode() if value in labels else text(oid, value)  # noqa: E731
    return _patch(answer_tags, "canonical_text", read)


def arrays_end_at_null() -> Any:
    elements = array_values.array_elements

    def until_null(value: str) -> list[str | None] | None:
        found = elements(value)
        return found[: found.index(None)] if found is not None and None in found else found

    return _patch(answer_tags, "array_elements", until_null)


def casts_keep_values() -> Any:
    return _patch(tag_families.Family, "kept_by_cast", lambda family, _: family.members)


def undeclared_is_of_the_columns_type() -> Any:
    return _patch(given_conditions.GivenConditions, "_parameters_of_unsure_type", lambda _: frozenset())


def collations_do_not_matter() -> Any:
    family = tag_families.family_of
    return _family_is(lambda column: family(replace(column, deterministic=True)))


def char_is_text() -> Any:
    family = tag_families.family_of
    return _family_is(lambda column: family(replace(column, type_oid=25) if column.type_oid == 1042 else column))


def _family_is(of: Callable[[Column], tag_families.Family | None]) -> Any:
    return both(_patch(tag_rules, "family_of", of), _patch(given_conditions, "family_of", of))


# -- ranges


def ranges_lack_their_ends() -> Any:
    return _patch(answer_tags, "cover", lambda low, high: intervals.cover(low + 1, high - 1))


def rows_are_in_small_blocks_only() -> Any:
    return _patch(planner, "blocks_of", lambda key: intervals.blocks_of(key)[:1])


def time_zones_do_not_matter() -> Any:
    return _patch(order_keys, "_LARGEST_OFFSET_SECONDS", 0.0)


def lower_bounds_are_upper_ones() -> Any:
    limit = value_sources.Bounds.with_limit
    return _patch(
        value_sources.Bounds, "with_limit", lambda bounds, source, is_low: limit(bounds, source, is_low=not is_low)
    )
