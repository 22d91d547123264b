"""Which statements a change of the catalog touches."""

from dataclasses import replace

import pytest

from services.proxy.sql.catalog_changes import Changes, changes_between
from services.proxy.sql.snapshot import Catalog, Policy, Relation
from tests.unit.sql.small_catalog import ITEMS, ORDERS, USERS, VIEW, small_catalog, table

_VIEWS = {VIEW.oid: " SELECT id FROM public.orders"}


def touched(before: Catalog, after: Catalog, *templates: str) -> list[bool]:
    found = changes_between(before, after)
    assert found is not None
    return [found.touches(template) for template in templates]


def with_part(relation: Relation, **changes: object) -> Catalog:
    """Return the small catalog in which a relation has another version."""
    parts = small_catalog().relation_parts
    return small_catalog(**({"relation_parts": {**parts, relation.oid: "another"}} | changes))


def test_what_names_a_changed_relation_is_touched_and_nothing_else() -> None:
    texts = ("select * from items", 'select * from shop."ITEMS"', "select 1 from orders", "select items_sold from x")
    assert touched(small_catalog(), with_part(ITEMS), *texts) == [True, True, False, True]


def test_what_came_and_what_went_touches_as_well() -> None:
    fresh = table(20_100, "fresh")
    assert touched(small_catalog(), small_catalog(fresh), "select 1 from fresh", "select 1 from items") == [True, False]
    assert touched(small_catalog(fresh), small_catalog(), "select 1 from fresh", "select 1 from items") == [True, False]


def test_a_rename_touches_both_names() -> None:
    before, after = small_catalog(table(20_100, "old_name")), small_catalog(table(20_100, "new_name"))
    texts = ("select 1 from old_name", "select 1 from new_name", "select 1 from items")
    assert touched(before, after, *texts) == [True, True, False]


def test_views_and_policies_that_name_it_are_touched() -> None:
    over = table(20_101, "over_it", kind="v")
    views = {**_VIEWS, over.oid: " SELECT id FROM public.a_view"}
    policies = {USERS.oid: (Policy("p", True, "id IN ( SELECT id FROM public.over_it)"),)}
    before, texts = small_catalog(over, views=views, policies=policies), ("a_view", "over_it", "users", "items")
    parts = {**before.relation_parts, ORDERS.oid: "another"}
    assert touched(before, replace(before, relation_parts=parts), *texts) == [True, True, True, False]


def test_what_is_a_part_of_it_is_touched() -> None:
    leaf = table(20_102, "leaf", ancestors=(ITEMS.oid,))
    parts = {**small_catalog(leaf).relation_parts, ITEMS.oid: "another"}
    assert touched(small_catalog(leaf), small_catalog(leaf, relation_parts=parts), "leaf", "users") == [True, False]


def test_what_it_is_a_part_of_is_touched() -> None:
    """A write to the whole runs what hangs on the part: an index of it that calls code of this database, say."""
    leaf = table(20_102, "leaf", ancestors=(ITEMS.oid,))
    other = replace(leaf, user_code=True)
    assert touched(small_catalog(leaf), small_catalog(other), "leaf", "items", "users") == [True, True, False]


@pytest.mark.parametrize("change", [{"global_part": "other"}, {"complete": False}, {"user_casts": True}])
def test_what_belongs_to_no_relation_touches_everything(change: dict[str, object]) -> None:
    assert changes_between(small_catalog(), small_catalog(**change)) is None
    assert changes_between(small_catalog(**change), small_catalog()) is None


def test_names_that_cannot_be_looked_for_touch_everything() -> None:
    assert changes_between(small_catalog(), small_catalog(table(20_100, 'a "quoted" one'))) is None
    many = [table(21_000 + number, f"<{number}>") for number in range(100)]
    assert changes_between(small_catalog(), small_catalog(*many)) is None


def test_many_names_with_one_in_common_are_one() -> None:
    many = [table(21_000 + number, f"log_{number}") for number in range(100)]
    assert touched(small_catalog(), small_catalog(*many, table(21_100, "log")), "x from log_7", "items") == [
        True,
        False,
    ]


def test_very_many_touch_everything_whatever_their_names_have_in_common() -> None:
    assert changes_between(small_catalog(), small_catalog(*(table(21_000 + n, f"log_{n}") for n in range(400)))) is None
    views = {VIEW.oid + n: " SELECT id FROM public.orders" for n in range(1, 400)}
    more = [table(oid, f"view_{oid}", kind="v") for oid in views]
    before = small_catalog(*more, views=views)
    parts = {**before.relation_parts, ORDERS.oid: "another"}
    assert changes_between(before, replace(before, relation_parts=parts)) is None


def test_an_escaped_name_may_be_any() -> None:
    assert Changes(["items"]).touches('select 1 from u&"\\0069tems"')


def test_case_folds_alike_whatever_stands_beside() -> None:
    assert Changes(["ΑΣ".casefold()]).touches('select 1 from "ΑΣ"."x"')
    assert Changes(["ΑΣ".casefold()]).touches('select 1 from "ΑΣΑ"')
