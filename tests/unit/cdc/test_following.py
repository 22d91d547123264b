"""Which relations are followed."""

from dataclasses import replace

import pytest

from services.cdc.following import Followed, FollowingPlan, Publication, plan_following
from services.cdc.statements import quote
from services.cdc.tables import LeftOut, Table, ancestors_of
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


@pytest.mark.parametrize("reason", [LeftOut.NO_IDENTITY, LeftOut.UNLOGGED, LeftOut.FOREIGN])
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


# -- tables with children by INHERITS

PARENT = replace(TABLE, oid=10, name="parent", entry=16_410)
OTHER_PARENT = replace(TABLE, oid=11, name="other_parent", entry=16_411)
CHILD = replace(TABLE, oid=12, name="child", entry=16_412, ancestors=(10, 11))
GRANDCHILD = replace(TABLE, oid=13, name="grandchild", entry=16_413, ancestors=(12, 10, 11))
FAMILY = [PARENT, OTHER_PARENT, CHILD, GRANDCHILD]


def with_tree(table: Table, *children: Table | int) -> Table:
    """Return a table as it is described with these children; one that is not followed is given by its OID."""
    members = [(each, 0) if isinstance(each, int) else (each.oid, each.entry or 0) for each in children]
    return replace(table, tree=tree_entry([(table.oid, table.entry or 0), *members]))


FAMILY_AS_TOLD = [
    with_tree(PARENT, CHILD, GRANDCHILD),
    with_tree(OTHER_PARENT, CHILD, GRANDCHILD),
    with_tree(CHILD, GRANDCHILD),
    GRANDCHILD,
]


def test_what_is_told_of_a_family_does_not_change_while_it_is_the_same() -> None:
    assert plan_following(FAMILY, PUBLICATION, known(*FAMILY_AS_TOLD)) == FollowingPlan(keep=FAMILY_AS_TOLD)
    entries = {table.told_entry for table in FAMILY_AS_TOLD}
    assert len(entries) == 4
    assert entries.isdisjoint({table.entry for table in (PARENT, OTHER_PARENT, CHILD)})


def test_a_child_counts_once_it_is_followed_itself() -> None:
    joining = plan_following(FAMILY, PUBLICATION, known(PARENT))
    assert joining.redescribe == [with_tree(PARENT, CHILD.oid, GRANDCHILD.oid)]
    assert joining.join == [
        with_tree(OTHER_PARENT, CHILD.oid, GRANDCHILD.oid),
        with_tree(CHILD, GRANDCHILD.oid),
        GRANDCHILD,
    ]
    before = known(with_tree(PARENT, CHILD.oid, GRANDCHILD.oid), *FAMILY_AS_TOLD[1:3])
    assert plan_following(FAMILY, PUBLICATION, before).redescribe == [
        with_tree(table, *followed, GRANDCHILD.oid)
        for table, followed in ((PARENT, [CHILD]), (OTHER_PARENT, [CHILD]), (CHILD, []))
    ]
    assert plan_following(FAMILY, PUBLICATION, known(*joining.redescribe, *FAMILY_AS_TOLD[1:])).redescribe == [
        FAMILY_AS_TOLD[0]
    ]


def test_a_parent_whose_child_was_out_of_the_publication_for_a_while_stays_followed_without_it() -> None:
    again = replace(GRANDCHILD, entry=16_500)
    found = plan_following([*FAMILY[:3], again], PUBLICATION, known(*FAMILY_AS_TOLD))
    assert (found.unfollow, found.join) == ([known(GRANDCHILD)[13]], [again])
    assert found.redescribe == [
        with_tree(PARENT, CHILD, 13),
        with_tree(OTHER_PARENT, CHILD, 13),
        with_tree(CHILD, 13),
    ]


def test_parents_are_described_again_when_a_child_comes_or_goes() -> None:
    orphan = replace(CHILD, ancestors=(11,))
    grandchild = replace(GRANDCHILD, ancestors=(12, 11))
    found = plan_following([PARENT, OTHER_PARENT, orphan, grandchild], PUBLICATION, known(*FAMILY_AS_TOLD))
    assert found.redescribe == [PARENT, with_tree(orphan, grandchild), grandchild]
    assert found.keep == [FAMILY_AS_TOLD[1]]
    without = known(PARENT, FAMILY_AS_TOLD[1], with_tree(orphan, grandchild), grandchild)
    assert plan_following(FAMILY, PUBLICATION, without).redescribe == [
        FAMILY_AS_TOLD[0], FAMILY_AS_TOLD[2], FAMILY_AS_TOLD[3]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "child",
    [
        replace(GRANDCHILD, unfit=LeftOut.UNLOGGED, entry=None),
        replace(GRANDCHILD, unfit=LeftOut.FOREIGN, entry=None),
        replace(GRANDCHILD, unfit=LeftOut.NO_IDENTITY, key_columns=(), entry=None),
        replace(GRANDCHILD, narrowed=True),
        replace(GRANDCHILD, entry=None, owned=False),
    ],
)
def test_a_child_that_cannot_be_followed_leaves_its_parents_to_what_reads_only_them(child: Table) -> None:
    told = [with_tree(PARENT, CHILD, 13), with_tree(OTHER_PARENT, CHILD, 13), with_tree(CHILD, 13)]
    found = plan_following([*FAMILY[:3], child], PUBLICATION, known(*told))
    assert (found.keep, found.unfollow) == (told, [])
    assert {found.left_out[f"public.{name}"] for name in ("parent", "other_parent", "child")} == {LeftOut.CHILDREN}
    assert found.left_out["public.grandchild"] not in (None, LeftOut.CHILDREN)


def test_a_temporary_child_is_one_that_cannot_be_followed() -> None:
    found = plan_following([*FAMILY[:3], replace(GRANDCHILD, temporary_children=True)], PUBLICATION, {})
    assert set(found.left_out.values()) == {LeftOut.CHILDREN}
    assert len(found.left_out) == 4


def test_changes_are_told_under_the_names_of_all_that_are_above_and_may_be_followed() -> None:
    keyless = replace(OTHER_PARENT, unfit=LeftOut.NO_IDENTITY)
    assert ancestors_of([PARENT, keyless, CHILD, GRANDCHILD]) == {12: (PARENT,), 13: (CHILD, PARENT)}


def test_what_was_above_is_told_of_changes_until_the_log_has_said_that_it_is_no_longer() -> None:
    orphan, keyless, dropped = replace(CHILD, ancestors=()), replace(PARENT, unfit=LeftOut.NO_IDENTITY), GRANDCHILD
    assert ancestors_of([keyless, OTHER_PARENT, orphan], [PARENT, OTHER_PARENT, CHILD, dropped]) == {
        12: (PARENT, OTHER_PARENT),
        13: (orphan, PARENT, OTHER_PARENT),
    }
