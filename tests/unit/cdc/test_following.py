"""Which relations are followed."""

from dataclasses import replace

import pytest

from services.cdc.following import Followed, FollowingPlan, Publication, plan_following
from services.cdc.publication import quote
from services.cdc.tables import LeftOut, Table

PUBLICATION = Publication(owned=True, complete=True)
TABLE = Table(3, "public", "t", None, "default", (("id", 23),), ("id",), True, 16400, False)
KNOWN = Followed(3, 16400, TABLE.fingerprint, "public", "t")


def plan(
    table: Table | None, publication: Publication | None = PUBLICATION, *, followed: bool = False
) -> FollowingPlan:
    return plan_following([table] if table else [], publication, {3: KNOWN} if followed else {})


def test_a_table_that_stands_outside_is_added_and_then_joins() -> None:
    outside = replace(TABLE, entry=None)
    assert plan(outside) == FollowingPlan(add=[outside])
    assert plan(TABLE) == FollowingPlan(join=[TABLE])


def test_a_followed_table_that_is_as_it_was_is_kept() -> None:
    assert plan(TABLE, followed=True) == FollowingPlan(keep=[TABLE])


@pytest.mark.parametrize(
    "changed",
    [
        replace(TABLE, columns=(("id", 20),)),
        replace(TABLE, name="renamed"),
        replace(TABLE, identity="full"),
        replace(TABLE, key_columns=()),
    ],
)
def test_a_followed_table_whose_definition_changed_is_described_again(changed: Table) -> None:
    assert plan(changed, followed=True) == FollowingPlan(redescribe=[changed])


def test_a_table_that_was_out_of_the_publication_for_a_while_joins_anew() -> None:
    again = replace(TABLE, entry=16500)
    assert plan(again, followed=True) == FollowingPlan(unfollow=[KNOWN], join=[again])


def test_a_table_that_was_dropped_is_unfollowed() -> None:
    assert plan(None, followed=True) == FollowingPlan(unfollow=[KNOWN])


def test_a_table_that_someone_took_out_is_unfollowed_and_left_alone() -> None:
    outside = replace(TABLE, entry=None)
    left_out = {"public.t": LeftOut.REMOVED}
    assert plan(outside, followed=True) == FollowingPlan(unfollow=[KNOWN], removed={3}, left_out=left_out)
    assert plan_following([outside], PUBLICATION, {}, frozenset({3})) == FollowingPlan(left_out=left_out)
    assert plan_following([TABLE], PUBLICATION, {}, frozenset({3})) == FollowingPlan(join=[TABLE])


@pytest.mark.parametrize("reason", [LeftOut.NO_IDENTITY, LeftOut.PARTITIONED, LeftOut.UNLOGGED, LeftOut.FOREIGN])
def test_a_table_that_became_unfit_is_unfollowed_and_taken_out(reason: LeftOut) -> None:
    unfit = replace(TABLE, unfit=reason)
    left_out = {"public.t": reason}
    assert plan(unfit, followed=True) == FollowingPlan(unfollow=[KNOWN], drop=[unfit], left_out=left_out)
    outside = replace(unfit, entry=None)
    assert plan(outside) == FollowingPlan(left_out=left_out)


@pytest.mark.parametrize(
    ("table", "publication"),
    [(replace(TABLE, narrowed=True), PUBLICATION), (TABLE, replace(PUBLICATION, complete=False))],
)
def test_a_publication_that_hides_changes_unfollows(table: Table, publication: Publication) -> None:
    left_out = {"public.t": LeftOut.NARROWED}
    assert plan(table, publication, followed=True) == FollowingPlan(unfollow=[KNOWN], left_out=left_out)


@pytest.mark.parametrize(
    ("table", "publication"),
    [
        (replace(TABLE, entry=None, owned=False), PUBLICATION),
        (replace(TABLE, entry=None), replace(PUBLICATION, owned=False)),
        (replace(TABLE, entry=None), None),
    ],
)
def test_a_table_that_we_may_not_add_is_named(table: Table, publication: Publication | None) -> None:
    assert plan(table, publication) == FollowingPlan(left_out={"public.t": LeftOut.NOT_PUBLISHED})


def test_a_table_of_another_owner_is_followed_where_its_owner_has_added_it() -> None:
    foreign = replace(TABLE, owned=False)
    assert plan(foreign, replace(PUBLICATION, owned=False)) == FollowingPlan(join=[foreign])


def test_names_are_quoted() -> None:
    assert quote('odd "name"') == '"odd ""name"""'
