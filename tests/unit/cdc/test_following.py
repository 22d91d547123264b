"""Which relations are followed."""

from dataclasses import replace

import pytest

from services.cdc.following import Followed, FollowingPlan, Publication, plan_following
from services.cdc.statements import quote
from services.cdc.tables import LeftOut, Table
from services.shared.relation import tree_entry

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


@pytest.mark.parametrize("reason", [LeftOut.NO_IDENTITY, LeftOut.INHERITED, LeftOut.UNLOGGED, LeftOut.FOREIGN])
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


# -- partitioned tables

LOW, HIGH = (
    replace(TABLE, oid=oid, name=name, entry=16_400 + oid, ancestors=(8, 9)) for oid, name in ((4, "low"), (5, "high"))
)
MIDDLE = replace(TABLE, oid=8, name="middle", entry=None, partitioned=True, ancestors=(9,))
ROOT = replace(TABLE, oid=9, name="root", entry=None, partitioned=True)
TREE = [ROOT, MIDDLE, LOW, HIGH]


def known(*tables: Table) -> dict[int, Followed]:
    return {
        table.oid: Followed(table.oid, table.entry or 0, table.fingerprint, table.schema, table.name)
        for table in tables
    }


def whole(table: Table, *partitions: Table) -> Table:
    return replace(table, entry=tree_entry((part.oid, part.entry or 0) for part in partitions))


def test_a_partitioned_table_is_followed_once_all_of_its_partitions_are() -> None:
    not_yet = {"public.root": LeftOut.PARTITIONS, "public.middle": LeftOut.PARTITIONS}
    assert plan_following(TREE, PUBLICATION, {}) == FollowingPlan(join=[LOW, HIGH], left_out=not_yet)
    assert plan_following(TREE, PUBLICATION, known(LOW)) == FollowingPlan(keep=[LOW], join=[HIGH], left_out=not_yet)
    ready = plan_following(TREE, PUBLICATION, known(LOW, HIGH))
    assert ready == FollowingPlan(keep=[LOW, HIGH], follow=[whole(ROOT, LOW, HIGH), whole(MIDDLE, LOW, HIGH)])


def test_it_is_kept_as_long_as_its_partitions_are_the_same() -> None:
    both = [whole(ROOT, LOW, HIGH), whole(MIDDLE, LOW, HIGH)]
    assert plan_following(TREE, PUBLICATION, known(LOW, HIGH, *both)) == FollowingPlan(keep=[LOW, HIGH, *both])


def test_one_that_lost_a_partition_is_described_again() -> None:
    detached = replace(HIGH, ancestors=())
    followed = known(LOW, HIGH, whole(ROOT, LOW, HIGH), whole(MIDDLE, LOW, HIGH))
    found = plan_following([ROOT, MIDDLE, LOW, detached], PUBLICATION, followed)
    assert found == FollowingPlan(keep=[LOW], redescribe=[detached, whole(ROOT, LOW), whole(MIDDLE, LOW)])


@pytest.mark.parametrize("new", [replace(LOW, oid=6, entry=None), replace(LOW, oid=6, unfit=LeftOut.FOREIGN)])
def test_one_with_a_partition_that_is_not_followed_is_unfollowed(new: Table) -> None:
    followed = known(LOW, HIGH, whole(ROOT, LOW, HIGH))
    found = plan_following([ROOT, LOW, HIGH, new], PUBLICATION, followed)
    assert (found.unfollow, found.follow, found.redescribe) == ([followed[ROOT.oid]], [], [])
    assert found.left_out["public.root"] is LeftOut.PARTITIONS


def test_one_that_was_dropped_is_unfollowed() -> None:
    followed = known(whole(ROOT))
    assert plan_following([], PUBLICATION, followed) == FollowingPlan(unfollow=[followed[ROOT.oid]])
