"""Which relations to follow, and which no longer: decided from what the catalog shows and what was said before. Pure.

A relation is followed from its `schema` record on; only then may answers that depend on it be cached. It ceases to be
when it leaves the publication, loses its identity, or when its row in pg_publication_rel is another one: then it was
out of the publication for a while, and what happened meanwhile was never sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from services.cdc.tables import LeftOut, Table
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
        left_out: Tables that are not followed, by name, with the reason.
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
    for table in tables:
        if table.partitioned:
            continue
        before = followed.get(table.oid)
        was_published = table.oid in removed or (before is not None and table.oid not in let_go)
        reason = _left_out(table, publication, was_published)
        if reason is not None:
            plan.left_out[str(table)] = reason
        published = reason is None and table.entry is not None
        if before is not None and published and before.publication_entry == table.entry:
            (plan.keep if before.fingerprint == table.fingerprint else plan.redescribe).append(table)
            continue
        if before is not None:
            plan.unfollow.append(before)
            if reason is LeftOut.REMOVED:
                plan.removed.add(table.oid)
        if published:
            plan.join.append(table)
        elif reason is None:
            plan.add.append(table)
        elif table.unfit is not None and table.entry is not None and publication is not None and publication.owned:
            plan.drop.append(table)
    _plan_partitioned(plan, tables, followed)
    seen = {table.oid for table in tables}
    plan.unfollow.extend(gone for oid, gone in followed.items() if oid not in seen)
    return plan


def _plan_partitioned(plan: FollowingPlan, tables: Sequence[Table], followed: Mapping[int, Followed]) -> None:
    """Decide on partitioned tables, behind their partitions."""
    stable = {table.oid for table in (*plan.keep, *plan.redescribe)}
    partitions: dict[int, list[Table]] = {}
    for table in tables:
        for ancestor in () if table.partitioned else table.ancestors:
            partitions.setdefault(ancestor, []).append(table)
    for table in tables:
        if not table.partitioned:
            continue
        parts = partitions.get(table.oid, [])
        before = followed.get(table.oid)
        if not all(part.oid in stable for part in parts):
            plan.left_out[str(table)] = LeftOut.PARTITIONS
            plan.unfollow.extend([before] if before is not None else [])
            continue
        whole = replace(table, entry=tree_entry((part.oid, part.entry or 0) for part in parts))
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
