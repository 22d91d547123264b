"""How many tags a relation may evict: beyond that the relation is evicted as a whole. Pure.

Every tag is remembered for as long as an entry may live, and takes the invalidator, Redis and each worker some
microseconds: of so many, a fifth of a processor. A row has a tag in each shape that is read of its relation, so a table
that is read in ten ways has as many for a write. A range has sixteen tags for a row, an equality one: so when half of
the tags are spent, ranges are evicted as a whole, and what is left is for equalities.
"""

TAGS_PER_SECOND = 20_000


class TagBudget:
    """Counts tags by relation, second by second."""

    def __init__(self, tags_per_second: int = TAGS_PER_SECOND) -> None:
        self._tags_per_second = tags_per_second
        self._second = 0
        self._spent: dict[int, int] = {}

    def is_spent(self, relation: int, now: float) -> bool:
        """Tell whether a relation can have no more tags in this second, so that none need be found."""
        return int(now) == self._second and self._spent.get(relation, 0) >= self._tags_per_second

    def is_half_spent(self, relation: int, now: float) -> bool:
        """Tell whether a relation should do with few tags for the rest of this second."""
        return int(now) == self._second and self._spent.get(relation, 0) >= self._tags_per_second // 2

    def spend(self, relation: int, tags: int, now: float) -> bool:
        """Take tags from a relation's budget.

        Args:
            relation: The relation.
            tags: How many.
            now: Seconds of a monotonic clock.

        Returns:
            False when there are not as many left in this second.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._spent.clear()
        spent = self._spent.get(relation, 0) + tags
        self._spent[relation] = spent
        return spent <= self._tags_per_second
