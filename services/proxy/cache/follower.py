"""What this worker has heard from the invalidator: the feed, applied in order to L1, and the watermark that follows it.

Consistency contract, section 7. Every feed item names its predecessor, the bucket's epoch and the registry of shapes
it was matched with. A wrong one of these means that something was missed: then everything is dropped and read anew,
once, from the bucket. Silence needs no drop, since without watermarks nothing stays fresh.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from services.proxy.cache.freshness import Freshness
from services.proxy.cache.l1 import L1
from services.proxy.reasons import Reason
from services.proxy.replica.applied import AppliedMoments
from services.shared.epoch import StreamEpoch
from services.shared.keyspace.feed import Feed, FeedItem, FeedKind
from services.shared.keyspace.scripts import Bucket, BucketUnavailable, Registry
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import START, Position
from services.shared.relation import CATALOG, Shape
from services.shared.runtime.backoff import Backoff

_READ_WAIT_SECONDS = 0.25  # a silent feed is compared with the bucket this often
_KNOWN_REGISTRIES = 8  # versions kept: a worker that registers sees items of earlier versions for a moment

MOST_SHAPES = 64
"""Of one relation: matching a row change with one takes microseconds. What finds no room is tagged more widely."""

_log = structlog.get_logger()


class _ChainBroken(Exception):
    """The feed does not continue what this worker has applied."""


class Follower:
    """The feed's reader: one per worker and cache.

    Attributes:
        epoch: The bucket's epoch as this worker follows it; empty while it follows none.
        stream: The stream epoch in it, to be compared with what connections to Postgres show.
        positions: Applied position per partition.
        shapes: Shape id → position per partition from which on evictions are matched with it.
        followed: Relation → its publication entry, for relations whose changes are on the stream.
        resyncs: How often everything was dropped and read anew.
        barred: Why nothing may be followed for now; None: it may.
        moments: Where this worker was when, for answers of a hot standby; None where there are none.
    """

    def __init__(
        self,
        bucket: Bucket,
        feed: Feed,
        l1: L1,
        freshness: Freshness,
        partition_count: int,
        on_catalog_change: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            bucket: The bucket.
            feed: Its feed.
            l1: What is evicted from.
            freshness: What moves with the watermark.
            partition_count: Partitions of the event log.
            on_catalog_change: Called when the catalog has changed, or may have.
        """
        self._on_catalog_change = on_catalog_change
        self._bucket = bucket
        self._feed = feed
        self._l1 = l1
        self._freshness = freshness
        self._watermarks: list[Lsn] = [NO_LSN] * partition_count
        self._registries: dict[str, frozenset[str]] = {}
        self._complete_version = ""  # a registry version that is known to hold every shape in `shapes`
        self.epoch = ""
        self.stream: StreamEpoch | None = None
        self.positions: tuple[Position, ...] = (START,) * partition_count
        self.shapes: dict[str, tuple[Position, ...]] = {}
        self._shape_counts: Counter[int] | None = None  # of `shapes`, by relation
        self.followed: dict[int, int] = {}
        self.resyncs = 0
        self.moments: AppliedMoments | None = None
        self._highest_commit = NO_LSN  # whose eviction was applied
        self.drop_reason: str = Reason.NOT_SYNCHRONISED
        self.barred: Reason | None = None

    def fill_position(self) -> tuple[Position, ...] | None:
        """Return q0 for a query that is about to be sent; None while no answer may be kept.

        Before an epoch's first watermark a commit may exist that is never streamed (hazard H47).
        """
        if not self.epoch or self._freshness.watermark == NO_LSN:
            return None
        return self.positions

    def matches(self, timeline: str, canary: str) -> bool:
        """Tell whether a connection that shows this timeline and canary belongs to the history that is followed."""
        stream = self.stream
        return bool(self.epoch) and stream is not None and (stream.timeline, stream.canary) == (timeline, canary)

    def refusal_of_shapes(self, shapes: Sequence[str], at: tuple[Position, ...]) -> str:
        """Return why an answer that rests on these shapes may not be kept; empty when it may."""
        for shape in shapes:
            matched_from = self.shapes.get(shape)
            if matched_from is None:
                return "shape_not_registered"
            if any(mine < least for mine, least in zip(at, matched_from, strict=True)):
                return "shape_registered_later"
        return ""

    def has_room_for(self, shape: Shape) -> bool:
        """Tell whether a relation may have this shape too: every row change is matched with all that it has."""
        if self._shape_counts is None:  # counted anew when there are others: misses ask for what finds no room, each
            self._shape_counts = Counter(Shape.parse(known).relation for known in self.shapes)
        return shape.id not in self.shapes and self._shape_counts[shape.relation] < MOST_SHAPES

    async def register(self, shapes: Sequence[Shape]) -> None:
        """Have evictions matched with these shapes from now on.

        Raises:
            BucketUnavailable: Redis does not answer; the shapes stay unregistered and nothing that needs them is kept.
        """
        missing = [shape for shape in shapes if shape.id not in self.shapes]
        if missing and self.epoch:
            epoch = self.epoch
            registry = await self._bucket.register(epoch, missing)
            if self.epoch == epoch == registry.state.bucket_epoch:
                self._learn(registry)

    async def run(self) -> None:
        """Follow the feed for ever.

        Cancel-safe: yes, state changes only between reads.
        """
        backoff = Backoff(first=0.05, most=1.0)
        while True:
            try:
                if not self.epoch and self.barred is None:
                    await self._resynchronise()
                if self.epoch:
                    await self._read_once()
                else:
                    await backoff.wait()
                    continue
                backoff.reset()
            except _ChainBroken as broken:
                self.drop(str(broken))
            except BucketUnavailable as error:
                _log.debug("redis does not answer the feed's reader", error=str(error))
                await backoff.wait()

    def drop(self, reason: str) -> None:
        """Forget everything that rests on what was heard so far; `run` reads the bucket anew."""
        if self.epoch:
            _log.warning("cache dropped in this worker", reason=reason, resyncs=self.resyncs)
        self.epoch = ""
        self.drop_reason = self.barred or reason
        self._freshness.drop()
        self._l1.drop(self.positions)
        self._forget_moments()

    def bar(self, reason: Reason | None) -> None:
        """Follow nothing, and forget everything, for this reason; or, without one, begin to follow again."""
        self.barred = reason
        if reason is not None:
            self.drop(reason)

    async def _read_once(self) -> None:
        epoch = self.epoch
        items = await self._feed.read(self.positions, _READ_WAIT_SECONDS)
        if self.epoch != epoch:
            return  # dropped by somebody else while this read was under way
        if not items:
            await self._compare_with_bucket()
        for item in items:
            await self._apply(item)

    async def _compare_with_bucket(self) -> None:
        """A silent feed may have been deleted or gone back in time: no item would ever show that."""
        before = self.positions
        state = await self._bucket.state()
        if state.bucket_epoch != self.epoch:
            raise _ChainBroken(Reason.BUCKET_EPOCH_CHANGED)
        if any(theirs < mine for theirs, mine in zip(state.positions, before, strict=True)):
            raise _ChainBroken(Reason.BUCKET_WENT_BACK)

    async def _resynchronise(self) -> None:
        """Read position, watermark, shapes and followed relations together, once, from the bucket."""
        registry = await self._bucket.registry()
        state = registry.state
        if self.barred is not None:
            return  # since this was asked
        if not state.bucket_epoch:
            self.drop_reason = Reason.NO_BUCKET
            return
        self.positions = state.positions
        self._l1.drop(self.positions)
        self._watermarks = list(state.watermarks)
        self._freshness.restart(min(self._watermarks))
        self._highest_commit = state.highest_commit
        self._forget_moments()
        self.shapes = {}
        self._shape_counts = None
        self._registries.clear()
        self._learn(registry)
        self.followed = dict(registry.followed)
        self.stream = StreamEpoch.parse(state.stream_epoch)
        self.epoch = state.bucket_epoch
        self.resyncs += 1
        self._on_catalog_change()  # what was said of it before this position was not heard
        _log.info("following the feed", epoch=self.epoch, relations=len(self.followed))

    async def _apply(self, item: FeedItem) -> None:
        if item.epoch != self.epoch:
            raise _ChainBroken(Reason.FEED_EPOCH_CHANGED)
        if item.position <= self.positions[item.partition]:
            return
        if item.prev != self.positions[item.partition]:
            raise _ChainBroken(Reason.FEED_GAP)
        if item.registry_version != self._complete_version:
            await self._check_registry(item)
            if item.epoch != self.epoch:
                raise _ChainBroken(Reason.FEED_EPOCH_CHANGED)  # dropped by somebody else meanwhile
        self._highest_commit = max(self._highest_commit, item.end_lsn)
        if item.tags or item.relations:
            self._l1.evict(item.partition, item.position, item.tags, item.relations, self.positions)
        if CATALOG in item.relations:
            self._on_catalog_change()
        if item.kind is FeedKind.FOLLOW:
            self._follow(item)
        self.positions = (*self.positions[: item.partition], item.position, *self.positions[item.partition + 1 :])
        if item.kind is FeedKind.WATERMARK:
            self._watermarks[item.partition] = item.watermark
            self._freshness.advance(min(self._watermarks))
            self.note_moment()

    def note_moment(self) -> None:
        """Note where this worker is now, for answers of a hot standby.

        What the bucket never applied, because it was lost before its epoch began, is in no highest commit. It had
        become visible before, so it lies below an insert LSN that was asked for since this worker follows: one of these
        has to be covered, and the standby to be beyond it.
        """
        if self.moments is not None and self._freshness.deadline > 0.0 and min(self._watermarks) != NO_LSN:
            self.moments.note(self.positions, self._highest_commit, max(self._watermarks))

    def _forget_moments(self) -> None:
        if self.moments is not None:
            self.moments.forget()

    def _follow(self, item: FeedItem) -> None:
        if item.relations:
            self._forget_moments()  # before it, changes of these were not on the stream
        for relation in item.relations:
            if item.publication_entry is None:
                self.followed.pop(relation, None)
            else:
                self.followed[relation] = item.publication_entry

    async def _check_registry(self, item: FeedItem) -> None:
        """Make sure that the item was matched with every shape that an entry of ours may rest on."""
        if item.registry_version not in self._registries:
            registry = await self._bucket.registry()
            if registry.version != item.registry_version or registry.state.bucket_epoch != self.epoch:
                raise _ChainBroken(Reason.REGISTRY_UNKNOWN)
            self._learn(registry)
        held = self._registries[item.registry_version]
        for shape, matched_from in self.shapes.items():
            if shape not in held and matched_from[item.partition] < item.position:
                raise _ChainBroken(Reason.REGISTRATION_LOST)
        if held >= self.shapes.keys():
            self._complete_version = item.registry_version

    def _learn(self, registry: Registry) -> None:
        """A shape counts from the later of: where the bucket began to match it, and where this worker was then."""
        self._registries[registry.version] = frozenset(registry.shapes)
        while len(self._registries) > _KNOWN_REGISTRIES:
            del self._registries[next(iter(self._registries))]
        for shape, matched_from in registry.shapes.items():
            if shape not in self.shapes:
                self._shape_counts = None
                self._complete_version = ""  # it may lack this one: a registration may be lost again (hazard H52)
                pairs = zip(matched_from, self.positions, strict=True)
                self.shapes[shape] = tuple(max(theirs, mine) for theirs, mine in pairs)
