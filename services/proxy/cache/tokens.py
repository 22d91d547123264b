"""A session reads its own writes: which relations must it not read from the cache yet? Consistency contract, 9.6.

A token is the number of the first probe sent after the write was acknowledged. Until that probe is covered, reads that
touch the relation are forwarded; nothing waits.
"""

from collections.abc import Iterable

_UNACKNOWLEDGED = 1 << 62  # above every probe number: the write is still under way


class Tokens:
    """The tokens of one session. Pure."""

    __slots__ = ("_any", "_by_relation")

    def __init__(self) -> None:
        self._by_relation: dict[int, int] = {}
        self._any = 0

    def begin(self, relations: frozenset[int] | None) -> None:
        """A turn that may write these relations (None: any) is about to be forwarded."""
        self._set(relations, _UNACKNOWLEDGED)

    def acknowledge(self, relations: frozenset[int] | None, number: int) -> None:
        """Postgres has answered that turn; the next probe to be sent has this number.

        Where the turn may have written any relation, the number stands for every earlier write too: numbers only grow.
        """
        if relations is None:
            self._by_relation.clear()
        self._set(relations, number)

    def covers(self, relations: Iterable[int], covered: int) -> bool:
        """Tell whether every write that touches these relations has been evicted, given the newest covered probe."""
        if self._any > covered:
            return False
        by_relation = self._by_relation
        return all(by_relation.get(relation, 0) <= covered for relation in relations)

    def settled(self, covered: int) -> bool:
        """Tell whether nothing is outstanding any more, and forget what is covered."""
        if self._any > covered:
            return False
        self._by_relation = {relation: number for relation, number in self._by_relation.items() if number > covered}
        return not self._by_relation

    def _set(self, relations: frozenset[int] | None, number: int) -> None:
        if relations is None:
            self._any = number
            return
        for relation in relations:
            self._by_relation[relation] = number
