"""Tables that have rows in others, as the proxy sees them, and as the CDC service calls them."""

from dataclasses import replace

import pytest

from services.cdc.following import Followed, Publication, plan_following
from services.cdc.tables import LeftOut, Table
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.trees import fingerprints_of_trees, with_trees
from tests.unit.sql.small_catalog import column, table

TOP, OTHER, MIDDLE, LOW = (table(oid, f"t{oid}") for oid in (20_401, 20_402, 20_403, 20_404))
PARENTS = {MIDDLE.oid: (TOP.oid, OTHER.oid), LOW.oid: (MIDDLE.oid, TOP.oid)}
"""A table that is below another in two ways."""


def placed(*relations: Relation) -> dict[int, Relation]:
    return {relation.oid: relation for relation in with_trees(relations, PARENTS)}


def told(*relations: Relation) -> dict[int, int | None]:
    """Return the entries that the CDC service gives once everything is followed that can be."""
    found = placed(*relations)
    tables = [
        Table(
            r.oid, r.schema, r.name, None if r.persistence == "p" else LeftOut.UNLOGGED, "default", (), ("id",), True,
            r.publication_entry, False, ancestors=found[r.oid].ancestors,
        )
        for r in relations
    ]  # fmt: skip
    followed = {t.oid: Followed(t.oid, t.entry, "", t.schema, t.name) for t in tables if t.entry is not None}
    plan = plan_following(tables, Publication(owned=True, complete=True), followed)
    return {table.oid: table.told_entry for table in (*plan.keep, *plan.redescribe)}


def test_each_table_knows_once_what_is_above_and_what_is_below_it() -> None:
    found = placed(TOP, OTHER, MIDDLE, LOW)
    assert [found[r.oid].ancestors for r in (MIDDLE, LOW)] == [(TOP.oid, OTHER.oid), (MIDDLE.oid, TOP.oid, OTHER.oid)]
    assert [found[r.oid].parts for r in (TOP, OTHER)] == [(MIDDLE.oid, LOW.oid)] * 2
    assert found[LOW.oid] == replace(LOW, ancestors=found[LOW.oid].ancestors)


def test_the_entry_is_the_one_that_the_cdc_service_tells() -> None:
    found = placed(TOP, OTHER, MIDDLE, LOW)
    assert {oid: relation.publication_entry for oid, relation in found.items()} == told(TOP, OTHER, MIDDLE, LOW)
    assert all(relation.whole for relation in found.values())


@pytest.mark.parametrize(
    "loose", [replace(LOW, persistence="u", publication_entry=None), replace(LOW, publication_entry=None)]
)
def test_above_a_child_that_is_not_followed_only_tables_by_themselves_are_cached(loose: Relation) -> None:
    found = placed(TOP, OTHER, MIDDLE, loose)
    assert [found[r.oid].whole for r in (TOP, OTHER, MIDDLE)] == [False] * 3
    cached = {r.oid: found[r.oid].publication_entry for r in (TOP, OTHER, MIDDLE)}
    assert cached == {oid: entry for oid, entry in told(TOP, OTHER, MIDDLE, loose).items() if oid in cached}
    assert cached[TOP.oid] != placed(TOP, OTHER, MIDDLE, LOW)[TOP.oid].publication_entry


@pytest.mark.parametrize(
    "loose", [replace(LOW, kind="f"), replace(LOW, identity_columns=frozenset()), replace(LOW, temporary_children=True)]
)
def test_other_children_that_are_not_followed(loose: Relation) -> None:
    assert not placed(TOP, OTHER, MIDDLE, loose)[OTHER.oid].whole


def test_a_table_that_is_not_published_itself_is_not_cached_whatever_its_children_are() -> None:
    assert placed(replace(TOP, publication_entry=None), OTHER, MIDDLE, LOW)[TOP.oid].publication_entry is None


def test_a_column_is_generated_if_it_is_in_some_part() -> None:
    low = replace(LOW, columns=(column("id", "int4"), column("v", generated=True), column("more", generated=True)))
    found = placed(TOP, OTHER, MIDDLE, low)
    assert [each.generated for each in found[OTHER.oid].columns] == [False, True]


def test_what_is_done_below_changes_the_fingerprints_above() -> None:
    own = {r.oid: f"of {r.oid}" for r in (TOP, OTHER, MIDDLE, LOW)}
    before = fingerprints_of_trees(own, PARENTS)
    after = fingerprints_of_trees(own | {LOW.oid: "another"}, PARENTS)
    assert [oid for oid in own if before[oid] == after[oid]] == []
    after = fingerprints_of_trees(own | {OTHER.oid: "another"}, PARENTS)
    assert [oid for oid in own if before[oid] != after[oid]] == [OTHER.oid]
    assert before[LOW.oid] == own[LOW.oid]
