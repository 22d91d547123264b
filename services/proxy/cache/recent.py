"""What was evicted lately: the memory that refuses an answer which was read before an eviction and arrives after it.

Two generations of bounded size; what is older than both is below the floor, and whatever was read before the floor is
refused without a look. Consistency contract, sections 6 (the rule of validity) and 7.
"""

from collections.abc import Iterable

from services.shared.lsn import Lsn
from services.shared.position import Position, partition_of
from services.shared.relation import relation_of_tag

_NEVER = Position(Lsn(-1), 0)  # below every position, the start of the log included
_GENERATION_CELLS = 50_000  # tags in one generation, some 10 MB; a worker sees more than that only under heavy writes


class RecentEvictions:
    """Positions of the last evictions that this worker applied. Pure."""

    def __init__(self, floor: tuple[Position, ...], generation_cells: int = _GENERATION_CELLS) -> None:
        """Start empty.

        Args:
            floor: Position per partition before which nothing is known.
            generation_cells: How many tags and relations one generation holds.
        """
        self._generation_cells = generation_cells
        self._partition_count = len(floor)
        self.reset(floor)

    def reset(self, floor: tuple[Position, ...]) -> None:
        """Forget everything; what was read before `floor` is refused from now on."""
        self._floor = floor
        self._newer_start = floor
        self._newer: dict[str | int, Position] = {}
        self._older: dict[str | int, Position] = {}

    @property
    def floor(self) -> tuple[Position, ...]:
        """Position per partition before which nothing is known."""
        return self._floor

    def note(
        self, position: Position, tags: Iterable[str], relations: Iterable[int], applied: tuple[Position, ...]
    ) -> None:
        """Remember the evictions of one feed item.

        Args:
            position: The item's position.
            tags: Tags evicted.
            relations: Relations evicted as a whole.
            applied: This worker's positions before the item, which become a generation's start.
        """
        if len(self._newer) >= self._generation_cells:
            self._older = self._newer
            self._floor = self._newer_start
            self._newer = {}
            self._newer_start = applied
        self._newer.update(dict.fromkeys(tags, position))
        self._newer.update(dict.fromkeys(relations, position))

    def refuses(self, at: tuple[Position, ...], tags: Iterable[str], relations: Iterable[int]) -> str:
        """Return why an answer that was right at these positions is not any more; empty when it still is."""
        count = self._partition_count
        if count == 1:
            return self._refuses_of_one(at[0], tags, relations)
        if any(mine < least for mine, least in zip(at, self._floor, strict=True)):
            return "below_floor"
        for tag in tags:
            if self._last(tag) > at[partition_of(relation_of_tag(tag), count)]:
                return "evicted_meanwhile"
        for relation in relations:
            if self._last(relation) > at[partition_of(relation, count)]:
                return "evicted_meanwhile"
        return ""

    def _refuses_of_one(self, at: Position, tags: Iterable[str], relations: Iterable[int]) -> str:
        """Do what `refuses` does where there is one partition: no tag has to say of which it is."""
        if at < self._floor[0]:
            return "below_floor"
        newer, older = self._newer, self._older
        cells: tuple[str | int, ...] = (*tags, *relations)
        for cell in cells:
            last = newer.get(cell) or older.get(cell)
            if last is not None and last > at:
                return "evicted_meanwhile"
        return ""

    def _last(self, cell: str | int) -> Position:
        found = self._newer.get(cell) or self._older.get(cell)
        return found if found is not None else _NEVER
