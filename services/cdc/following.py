"""Which relations to follow, and which no longer: decided from what the catalog shows and what was said before. Pure.

A relation is followed from its `schema` record on; only then may answers that depend on it be cached. It ceases to be
when it leaves the publication, loses its identity, or when its row in pg_publication_rel is another one: then it was
out of the publication for a while, and what happened meanwhile was never sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.cdc.tables import LeftOut, Table, parts_of
from services.shared.relation import tree_entry


@dataclass(frozen=True, slots=True)
class Publication:
    """Our publication as Postgres shows it.

    Attributes:
        owned: Whether our role may change it.
        complete: Whether it publishes every kind of change, each under the table that it happened to (H6, H10).
        sweeping: Whether it publishes all tables, or all of a schema, whether they have an identity or not (H9).
    """

    owned: bool
    complete: bool
    sweeping: bool = False


class Followed(NamedTuple):
    """A relation that the event log calls followed, as it was described last.

    Attributes:
        relation: Its OID.
        publication_entry: OID of its row in pg_publication_rel.
        fingerprint: Of its description; see `Table.fingerprint`.
        schema: Its schema.
        table: Its name.
    """

    relation: int
    publication_entry: int
    fingerprint: str
    schema: str
    table: str


@dataclass(frozen=True, slots=True)
class FollowingPlan:
    """What to do after a look at the catalog.

    Attributes:
        keep: Followed relations that are as they were.
        unfollow: Relations to call unfollowed.
        removed: Those among them that someone took out of the publication.
        redescribe: Followed relations whose columns, key or name have changed.
        join: Relations in the publication that may be followed once the writers that are open now have ended (H11).
        follow: Partitioned tables that may be followed from now on: all of their partitions are.
        add: Tables to add to the publication.
        drop: Tables to take out of the publication.
        left_out: Tables that are not followed, or not with all of their children, by name, with the reason.
    """

    keep: list[Table] = field(default_factory=list)
    unfollow: list[Followed] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    redescribe: list[Table] = field(default_factory=list)
    join: list[Table] = field(default_factory=list)
    follow: list[Table] = field(default_factory=list)
    add: list[Table] = field(default_factory=list)
    drop: list[Table] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)


def plan_following(
    tables: Iterable[Table],
    publication: Publication | None,
    followed: Mapping[int, Followed],
    removed: frozenset[int] = frozenset(),
    let_go: frozenset[int] = frozenset(),
) -> FollowingPlan:
    """Decide what to do.

    Args:
        tables: What the catalog shows now.
        publication: Our publication; None if someone dropped it.
        followed: What the event log calls followed, by OID.
        removed: Relations that someone took out of the publication: they are not added again.
        let_go: Relations that our event trigger took out, because they had no identity for a moment.
    """
    plan = FollowingPlan()
    tables = list(tables)
    own = [table for table in tables if not table.partitioned]
    was_published = removed | (followed.keys() - let_go)
    reasons = {table.oid: _left_out(table, publication, table.oid in was_published) for table in own}
    entries = {t.oid: t.entry for t in own if t.entry is not None and reasons[t.oid] is None}
    stable = {oid: entry for oid, entry in entries.items() if _known_by(entry, followed.get(oid))}
    parts = parts_of(own)
    for table in own:
        reason, children = reasons[table.oid], parts.get(table.oid, ())
        if reason is None and _lacks_children(table, children, reasons):
            plan.left_out[str(table)] = LeftOut.CHILDREN
        _plan_table(plan, _with_children(table, children, stable), reason, followed.get(table.oid))
        if table.unfit is not None and table.entry is not None and publication is not None and publication.owned:
            plan.drop.append(table)
    for table in tables:
        if table.partitioned:
            _plan_partitioned(plan, table, parts.get(table.oid, ()), stable, followed.get(table.oid))
    seen = {table.oid for table in tables}
    plan.unfollow.extend(gone for oid, gone in followed.items() if oid not in seen)
    return plan


def _known_by(entry: int, before: Followed | None) -> bool:
    return before is not None and before.publication_entry == entry


def _lacks_children(table: Table, children: Sequence[Table], reasons: Mapping[int, LeftOut | None]) -> bool:
    """Whether a child cannot be followed. Temporary ones are not among the tables: they come and go with sessions."""
    temporary = any(each.temporary_children for each in (table, *children))
    return temporary or any(reasons[child.oid] is not None for child in children)


def _with_children(table: Table, children: Sequence[Table], stable: Mapping[int, int]) -> Table:
    """Return a table with what stands for its entry and those of its children: followed ones have one that counts.

    It is described anew with each that joins or leaves. A proxy whose catalog shows all children published expects all
    of them in it; so a child that is not followed yet keeps those statements uncached that read it, and no others.
    """
    if not children:
        return table
    members = ((child.oid, stable.get(child.oid, 0)) for child in children)
    return replace(table, tree=tree_entry([(table.oid, table.entry or 0), *members]))


def _plan_table(plan: FollowingPlan, table: Table, reason: LeftOut | None, before: Followed | None) -> None:
    """Decide on a table with rows of its own.

    Args:
        plan: Where to put it.
        table: The table.
        reason: Why it cannot be followed; None if it can, once it is in the publication.
        before: What the event log calls it.
    """
    if reason is not None:
        plan.left_out[str(table)] = reason
    published = reason is None and table.entry is not None
    if before is not None and published and before.publication_entry == table.entry:
        (plan.keep if before.fingerprint == table.fingerprint else plan.redescribe).append(table)
        return
    if before is not None:
        plan.unfollow.append(before)
        if reason is LeftOut.REMOVED:
            plan.removed.add(table.oid)
    if published:
        plan.join.append(table)
    elif reason is None:
        plan.add.append(table)


def _plan_partitioned(
    plan: FollowingPlan, table: Table, parts: Sequence[Table], stable: Mapping[int, int], before: Followed | None
) -> None:
    """Decide on a partitioned table, behind its partitions."""
    if not all(part.oid in stable for part in parts):
        plan.left_out[str(table)] = LeftOut.PARTITIONS
        plan.unfollow.extend([before] if before is not None else [])
        return
    whole = replace(table, entry=tree_entry((part.oid, stable[part.oid]) for part in parts))
    if before is None:
        plan.follow.append(whole)
    elif before.publication_entry == whole.entry and before.fingerprint == whole.fingerprint:
        plan.keep.append(whole)
    else:
        plan.redescribe.append(whole)


def _left_out(table: Table, publication: Publication | None, was_published: bool) -> LeftOut | None:
    """Say why a table cannot be followed; None if it can, once it is in the publication."""
    if table.unfit is not None:
        return table.unfit
    if publication is None or (table.entry is None and not (table.owned and publication.owned)):
        return LeftOut.NOT_PUBLISHED
    if table.narrowed or not publication.complete:
        return LeftOut.NARROWED
    if table.entry is None and was_published:
        return LeftOut.REMOVED
    return None
