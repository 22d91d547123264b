"""Accepted log records into steps in the bucket: planned, sent many at a time, their outcomes checked in order.

Each step names its predecessor, so they can be sent without waiting for one another: the first that is refused makes
the bucket refuse all that follow it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.catalog_event import CatalogChange
from schemas.changes import Changes
from schemas.encoding import Event
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.invalidator.budget import TagBudget
from services.invalidator.events import end_of, followed_by
from services.invalidator.planner import Plan, plan_changes, plan_wide
from services.invalidator.shapes import NO_SHAPES, registered_shapes
from services.invalidator.statistics import InvalidatorStatistics
from services.shared.keyspace.outcome import Outcome
from services.shared.keyspace.scripts import Bucket, BucketUnavailable, Registry
from services.shared.keyspace.steps import Advance, Evict, Follow, Milestone, MoveWatermark, Step
from services.shared.lsn import parse_lsn
from services.shared.relation import CATALOG

_DONE = frozenset((Outcome.APPLIED, Outcome.DUPLICATE))


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that the chain has accepted."""

    at: Milestone
    event: Event


class Evictor:
    """Takes one invalidator's steps in one bucket epoch after another."""

    def __init__(
        self,
        bucket: Bucket,
        statistics: InvalidatorStatistics,
        budget: TagBudget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._statistics = statistics
        self._budget = budget
        self._clock = clock
        self._epoch = ""
        self._shapes = NO_SHAPES

    def adopt(self, registry: Registry) -> None:
        """Go on in this epoch, with these shapes.

        Raises:
            BucketUnavailable: The registry holds what is no shape.
        """
        try:
            self._shapes = registered_shapes(registry)
        except ValueError as error:
            raise BucketUnavailable(f"the bucket holds what the scripts did not write: {error}") from error
        self._epoch = registry.state.bucket_epoch

    async def apply(self, accepted: Sequence[Accepted]) -> Outcome:
        """Apply records in order.

        Returns:
            APPLIED when all are, now or before; else what the first one that is not met with: REWIND, OTHER_EPOCH, GAP,
            EVICTIONS_LOST.

        Raises:
            BucketUnavailable: It is not known how many were applied.

        Cancel-safe: yes; what was applied is skipped the next time.
        """
        rest = accepted
        while rest:
            outcomes = await self._bucket.apply(self._epoch, [self._step(record) for record in rest])
            refusal = self._check(rest, outcomes)
            if refusal is None:
                break
            index, outcome = refusal
            if outcome is not Outcome.RELOAD:
                return outcome
            registry = await self._bucket.registry()
            if registry.state.bucket_epoch != self._epoch:
                return Outcome.OTHER_EPOCH
            self.adopt(registry)
            rest = rest[index:]
        return Outcome.APPLIED

    def _check(self, sent: Sequence[Accepted], outcomes: Sequence[Outcome]) -> tuple[int, Outcome] | None:
        """Count, and return the first refusal with its index."""
        for index, (record, outcome) in enumerate(zip(sent, outcomes, strict=True)):
            self._statistics.count_outcome(outcome)
            if outcome not in _DONE:
                return index, outcome
            if isinstance(record.event, Watermark):
                self._statistics.watermarks += 1
                self._statistics.watermark_lsn = parse_lsn(record.event.watermark)
        return None

    def _step(self, record: Accepted) -> Step:
        event = record.event
        if isinstance(event, Changes):
            return self._evict(record, event.relation, self._plan(event))
        if isinstance(event, RelationWide):
            if event.op == "unfollowed":
                return Follow(record.at, event.relation, None)
            return self._evict(record, event.relation, plan_wide(event.relation))
        if isinstance(event, CatalogChange):
            return self._evict(record, CATALOG, plan_wide(CATALOG))
        if isinstance(event, Watermark):
            return MoveWatermark(record.at, parse_lsn(event.watermark), parse_lsn(event.settled))
        if isinstance(event, RelationSchema):
            return Follow(record.at, event.relation, followed_by(event))
        return Advance(record.at, parse_lsn(event.resume_from) if isinstance(event, Resume) else None)

    def _plan(self, event: Changes) -> Plan:
        """Return what changes evict, within what their relation may."""
        relation, now = event.relation, self._clock()
        if self._budget.is_spent(relation, now):
            return plan_wide(relation)
        ranges_as_a_whole = self._budget.is_half_spent(relation, now)
        plan = plan_changes(event, self._shapes.of(relation), ranges_as_a_whole=ranges_as_a_whole)
        if not ranges_as_a_whole and not self._shapes.wide_tags.isdisjoint(plan.tags):
            self._statistics.count_widened(f"{event.schema_name}.{event.table}")
        return plan if self._budget.spend(relation, len(plan.tags), now) else plan_wide(relation)

    def _evict(self, record: Accepted, relation: int, plan: Plan) -> Evict:
        relations = (relation,) if plan.wide else ()
        self._statistics.evicted_tags += len(plan.tags)
        self._statistics.evicted_relations += len(relations)
        return Evict(record.at, self._shapes.version, plan.tags, relations, end_of(record.event))
