"""A bucket and its feed in memory: what the invalidator does to them is done by hand."""

import asyncio
from collections.abc import Iterable, Sequence

from services.shared.epoch import StreamEpoch
from services.shared.keyspace.feed import FeedItem, FeedKind
from services.shared.keyspace.scripts import BucketUnavailable, Registry
from services.shared.keyspace.state import BucketState
from services.shared.lsn import NO_LSN, Lsn
from services.shared.position import START, Position
from services.shared.relation import Shape

STREAM = StreamEpoch("7000", 5, "00000001", "c0ffee", "tidegate_default", "log")


class FakeBucket:
    """Stands for both `Bucket` and `Feed`, as far as a follower uses them."""

    def __init__(self, partitions: int = 1) -> None:
        self.epoch = f"{STREAM}#1"
        self.positions = [START] * partitions
        self.watermarks = [NO_LSN] * partitions
        self.version = "v1"
        self.shapes: dict[str, tuple[Position, ...]] = {}
        self.followed: dict[int, int] = {}
        self.items: list[FeedItem] = []
        self.down = False

    # -- what a follower calls

    async def state(self) -> BucketState:
        await asyncio.sleep(0)
        if self.down:
            raise BucketUnavailable("down")
        positions, watermarks = tuple(self.positions), tuple(self.watermarks)
        return BucketState(
            self.epoch, "owner", "1", positions, (), watermarks, watermarks, min(watermarks), NO_LSN, positions, "v", ""
        )

    async def registry(self) -> Registry:
        state = await self.state()
        fields = {name: getattr(state, name) for name in state.__slots__} | {"registry_version": self.version}
        return Registry(BucketState(**fields), dict(self.shapes), dict(self.followed))

    async def register(self, epoch: str, shapes: Iterable[Shape]) -> Registry:
        if epoch == self.epoch:
            for shape in shapes:
                self.shapes.setdefault(shape.id, tuple(self.positions))
            self.version = f"{self.version}+"
        return await self.registry()

    async def read(self, after: Sequence[Position], wait_seconds: float) -> list[FeedItem]:
        await asyncio.sleep(0)
        if self.down:
            raise BucketUnavailable("down")
        return [item for item in self.items if item.position > after[item.partition]]

    # -- what an invalidator does

    def apply(
        self,
        *,
        partition: int = 0,
        tags: tuple[str, ...] = (),
        relations: tuple[int, ...] = (),
        watermark: int | None = None,
        follow: tuple[int, int | None] | None = None,
        end_lsn: int = 0,
    ) -> FeedItem:
        """Apply the next record of a partition, and append it to the feed."""
        prev = self.positions[partition]
        position = Position(Lsn(100), prev.k + 1)
        kind, entry = FeedKind.EVICT, None
        if watermark is not None:
            kind, self.watermarks[partition] = FeedKind.WATERMARK, Lsn(watermark)
        elif follow is not None:
            kind, entry, relations = FeedKind.FOLLOW, follow[1], (follow[0],)
        item = FeedItem(
            kind=kind,
            partition=partition,
            position=position,
            prev=prev,
            epoch=self.epoch,
            registry_version=self.version,
            tags=tags,
            relations=relations,
            end_lsn=Lsn(end_lsn),
            watermark=Lsn(watermark or 0),
            publication_entry=entry,
        )
        self.positions[partition] = position
        self.items.append(item)
        return item
