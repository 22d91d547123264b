"""What the log and the feed tell, put together: which change came, and what it evicted.

The two are read apart, and either may be ahead. What the feed says of a record is held back until the log has been read
as far, for a moment; so an eviction stands below its change and can say what it was. Pure but for the words of the
feed, whose module also reads it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.catalog_event import CatalogChange
from schemas.changes import Changes
from schemas.encoding import Event
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark
from services.shared.keyspace.dead_letter import KEPT_LETTERS, DeadLetter
from services.shared.keyspace.feed import FeedItem, FeedKind
from services.shared.keyspace.state import stream_epoch_of
from services.shared.lsn import Lsn, format_lsn, parse_lsn
from services.shared.position import Position
from services.shared.relation import CATALOG, Shape, relation_of_tag
from services.tail.changes import (
    SHOWN_ROWS,
    begin_line,
    catalog_line,
    cause_of,
    change_lines,
    dead_line,
    follow_line,
    position_text,
    wide_line,
)
from services.tail.line import Line, LineKind
from services.tail.tables import TableFilter
from services.tail.tags import NamedTag, named_tags
from services.tail.values import HiddenColumns, listed
from services.tail.watermarks import Watermarks

HOLD_SECONDS = 1.0
"""How long an eviction waits for the change that caused it."""

_REMEMBERED_CHANGES = 4_096  # records whose evictions may still come
_NAMED_ROWS = 200  # of a record, whose tags are named for a person; for a program and where tags are chosen, all
_SHOWN_TAGS = 4

_Where = tuple[str, int, Position]  # stream epoch, partition, position


@dataclass(frozen=True, slots=True)
class View:
    """What a person wants to see.

    Attributes:
        tables: Of which tables.
        hidden: Columns that are shown as hashes.
        watermarks: Whether watermarks are shown.
        every_row: Whether records of many rows are told row by row.
        tags: Only evictions of these tags; none: everything.
    """

    tables: TableFilter
    hidden: HiddenColumns
    watermarks: bool = True
    every_row: bool = False
    tags: frozenset[str] = frozenset()

    def wants_item(self, item: FeedItem) -> bool:
        """Tell whether an eviction is of tags that are wanted: one of a relation as a whole is of all of its tags."""
        if not self.tags:
            return True
        return not self.tags.isdisjoint(item.tags) or any(relation_of_tag(tag) in item.relations for tag in self.tags)


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only grow, and the time of day."""

    monotonic: Callable[[], float]
    wall: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Held:
    """An eviction that waits for its change."""

    item: FeedItem
    at: datetime | None
    since: float


class Story:
    """Takes events and feed items, gives lines."""

    def __init__(self, view: View, partition_count: int, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._watermarks = Watermarks(partition_count)
        self._tables: dict[int, tuple[str, str]] = {}  # relation -> schema, table
        self._described: dict[int, object] = {}  # relation -> what was said of it last
        self._shapes: Mapping[int, tuple[Shape, ...]] = {}
        self._changes: OrderedDict[_Where, Changes | RelationWide] = OrderedDict()
        self._read: dict[int, tuple[str, Position]] = {}  # partition -> stream epoch and position of the last record
        self._epoch = ""
        self._begun = ("", "")  # stream epoch and incarnation of the last beginning that was told
        self._held: deque[_Held] = deque()
        self._dead: OrderedDict[tuple[int, str, str], None] = OrderedDict()  # records told to be unreadable

    def missing_tables(self) -> list[str]:
        """Return the names asked for under which no table is known so far."""
        return self._view.tables.missing(self._tables.values())

    def hello(self, cache: str) -> Line:
        """Return the line that says that reading has begun, and of what."""
        names = sorted(
            f"{schema}.{table}" for schema, table in self._tables.values() if self._view.tables.wants(schema, table)
        )
        tables = f"{len(names)} table{'s' * (len(names) != 1)}" + (f": {listed(names, ', ')}" if names else "")
        return self.note(f"reading along in cache {cache}, {tables}")

    def know_shapes(self, shapes: Iterable[Shape]) -> None:
        """Take the shapes that changes are matched with."""
        by_relation: dict[int, tuple[Shape, ...]] = {}
        for shape in shapes:
            by_relation[shape.relation] = (*by_relation.get(shape.relation, ()), shape)
        self._shapes = by_relation

    def remember(self, partition: int, event: Event) -> None:
        """Take an event that is not to be told: it stood in the log before."""
        self._note(partition, event)
        if isinstance(event, RelationSchema):
            self._described[event.relation] = (event.columns, event.identity, event.key_columns)

    def event(self, partition: int, event: Event) -> list[Line]:
        """Take the next event of a partition."""
        self._note(partition, event)
        return [*self._tell(event), *self._release(self._clock.monotonic())]

    def item(self, item: FeedItem, *, past: bool = False) -> list[Line]:
        """Take the next item of the feed.

        Args:
            item: The item.
            past: It stood there before; nobody knows since when.
        """
        if item.kind is FeedKind.WATERMARK and stream_epoch_of(item.epoch) == self._epoch:
            self._watermarks.applied(item.partition, item.watermark)
        if item.kind is not FeedKind.EVICT or CATALOG in item.relations or not self._view.wants_item(item):
            return []
        now = self._clock.monotonic()
        self._held.append(_Held(item, None if past else self._clock.wall(), now))
        return self._release(now)

    def applied(self, stream_epoch: str, watermarks: Iterable[Lsn]) -> None:
        """Take the watermarks that the bucket has, one for each partition."""
        for partition, watermark in enumerate(watermarks):
            if stream_epoch == self._epoch:
                self._watermarks.applied(partition, watermark)

    def unreadable(self, letter: DeadLetter) -> list[Line]:
        """Take what is known of a record that cannot be read: by our own reading, or from an invalidator."""
        if letter.record in self._dead:
            return []
        self._dead[letter.record] = None
        if len(self._dead) > KEPT_LETTERS:
            self._dead.popitem(last=False)
        return [dead_line(letter)]

    def tick(self) -> list[Line]:
        """Return what is due by now."""
        now = self._clock.monotonic()
        lines = self._release(now)
        wanted = self._view.watermarks and not self._view.tags
        line = self._watermarks.line(now, self._clock.wall()) if wanted else None
        return lines if line is None else [*lines, line]

    def note(self, text: str) -> Line:
        """Return a line about the reading itself."""
        return Line(LineKind.NOTE, self._clock.wall(), parts=(text,), facts={"text": text})

    def _note(self, partition: int, event: Event) -> None:
        """Remember what later lines need."""
        position = Position(parse_lsn(event.incarnation), event.k)
        if event.epoch != self._epoch:
            self._epoch = event.epoch
            self._watermarks.begin()
        self._read[partition] = event.epoch, position
        if isinstance(event, Watermark):
            moved = parse_lsn(event.watermark), parse_lsn(event.settled)
            self._watermarks.logged(partition, *moved, self._clock.monotonic())
        if isinstance(event, Changes | RelationWide | RelationSchema):
            self._tables[event.relation] = event.schema_name, event.table
        if isinstance(event, Changes | RelationWide):
            self._changes[event.epoch, partition, position] = event
            if len(self._changes) > _REMEMBERED_CHANGES:
                self._changes.popitem(last=False)

    def _tell(self, event: Event) -> Iterable[Line]:
        if isinstance(event, EpochStart | Resume):
            begun, self._begun = self._begun, (event.epoch, event.incarnation)
            return [begin_line(event, self._clock.wall())] if begun != self._begun else []  # one a partition
        if isinstance(event, CatalogChange):
            return [] if self._view.tables.is_narrow else [catalog_line(event)]
        if self._view.tags:
            return []  # their evictions tell of the change
        if isinstance(event, Watermark) or not self._view.tables.wants(event.schema_name, event.table):
            return []
        if isinstance(event, RelationWide):
            if event.op == "unfollowed":
                self._described.pop(event.relation, None)
            return [wide_line(event)]
        if isinstance(event, RelationSchema):
            return self._follow(event)
        return change_lines(event, self._view.hidden, None if self._view.every_row else SHOWN_ROWS)

    def _follow(self, event: RelationSchema) -> list[Line]:
        """Tell of a relation that is followed, unless that is known: all are described again every ten seconds."""
        description = (event.columns, event.identity, event.key_columns)
        if self._described.get(event.relation) == description:
            return []
        self._described[event.relation] = description
        return [follow_line(event, self._clock.wall())]

    def _release(self, now: float) -> list[Line]:
        """Tell of the evictions whose change is known, or has been awaited for long enough."""
        lines = []
        while self._held and (self._is_read(self._held[0].item) or now >= self._held[0].since + HOLD_SECONDS):
            held = self._held.popleft()
            line = self._eviction(held)
            if line is not None:
                lines.append(line)
        return lines

    def _is_read(self, item: FeedItem) -> bool:
        """Tell whether the log has been read as far as an item."""
        epoch, position = self._read.get(item.partition, ("", item.prev))
        return epoch == stream_epoch_of(item.epoch) and position >= item.position

    def _eviction(self, held: _Held) -> Line | None:
        item = held.item
        wide = set(item.relations)
        relations = sorted(wide | {relation_of_tag(tag) for tag in item.tags})
        named = [self._tables[relation] for relation in relations if relation in self._tables]
        if self._view.tables.is_narrow and not any(self._view.tables.wants(*name) for name in named):
            return None
        cause = self._changes.get((stream_epoch_of(item.epoch), item.partition, item.position))
        position = position_text(format_lsn(item.position.incarnation), item.position.k)
        by = f"position {position}" if cause is None else cause_of(cause, self._view.hidden)
        names = self._names(item, relations, cause)
        of_many = isinstance(cause, Changes) and len(cause.rows) > 1
        chosen = [name for name in names if name.tag in self._view.tags or not self._view.tags]
        told = list(dict.fromkeys(name.told(with_rows=of_many) for name in chosen))  # a range has many tags
        return Line(
            LineKind.EVICT,
            held.at,
            ", ".join(self._name(relation) for relation in relations),
            "table" if wide else f"{len(item.tags)} tag{'s' * (len(item.tags) != 1)}",
            ("everything about it" if wide else listed(told, ", ", _SHOWN_TAGS), f"by {by}"),
            {
                "relations": list(item.relations),
                "tags": [] if wide else list(item.tags),
                "named": [name.facts for name in names],
                "xid": None if cause is None else cause.xid or None,
                "lsn": None if cause is None else cause.commit_lsn,
                "end_lsn": format_lsn(item.end_lsn),
                "position": position,
            },
        )

    def _names(self, item: FeedItem, relations: list[int], cause: Changes | RelationWide | None) -> list[NamedTag]:
        if item.relations:
            return []
        shapes = [shape for relation in relations for shape in self._shapes.get(relation, ())]
        known = cause if isinstance(cause, Changes) else None
        most_rows = None if self._view.every_row or self._view.tags else _NAMED_ROWS
        return named_tags(item.tags, relations, shapes, known, self._view.hidden, most_rows)

    def _name(self, relation: int) -> str:
        name = self._tables.get(relation)
        return f"relation {relation}" if name is None else ".".join(name)
