"""A session reads its own writes: which relations must it not read from the cache yet? Consistency contract, 9.6.

A token is the number of the first probe sent after the write was acknowledged. Until that probe is covered, reads that
touch the relation are forwarded; nothing waits. Where a write names its rows, only reads that may look at one of them.
"""

from collections.abc import Callable, Collection, Sequence

from services.proxy.cache.named_rows import NamedRows

_UNACKNOWLEDGED = 1 << 62  # above every probe number: the write is still under way
_MOST_ROWS = 64  # writes whose rows are kept apart; of more, the relation counts as written

RowsRead = Callable[[int], Sequence[NamedRows] | None]
"""Tells for a relation which rows of it a read looks at; None: it may be any."""


def any_row(_relation: int) -> None:
    """A read that may look at any row."""
    return


class Tokens:
    """The tokens of one session. Pure."""

    __slots__ = ("_any", "_by_relation", "_rows")

    def __init__(self) -> None:
        self._by_relation: dict[int, int] = {}
        self._rows: list[tuple[NamedRows, int]] = []  # in the order of their numbers: what is under way, last
        self._any = 0

    def begin(self, relations: frozenset[int] | None, rows: Sequence[NamedRows] = ()) -> None:
        """A turn that may write these relations (None: any) is about to be forwarded.

        Args:
            relations: What it may write.
            rows: Of the relations that these are of no other rows.
        """
        if relations is None:
            self._any = _UNACKNOWLEDGED
            return
        for relation in relations.difference(named.relation for named in rows):
            self._by_relation[relation] = _UNACKNOWLEDGED
        self._rows += ((named, _UNACKNOWLEDGED) for named in rows)
        while len(self._rows) > _MOST_ROWS:
            named, number = self._rows.pop(0)
            self._by_relation[named.relation] = max(self._by_relation.get(named.relation, 0), number)

    def acknowledge(self, relations: frozenset[int] | None, number: int) -> None:
        """Postgres has answered everything that was begun; the next probe to be sent has this number.

        Args:
            relations: What all that may have written; None: any. The number stands for every earlier write of it too,
                since numbers only grow. Relations of which only rows were begun stay with these.
            number: The number.
        """
        rows, acknowledged = self._rows, len(self._rows)
        while acknowledged and rows[acknowledged - 1][1] == _UNACKNOWLEDGED:
            acknowledged -= 1
        begun = [named.relation for named, _ in rows[acknowledged:]]
        rows[acknowledged:] = [(named, number) for named, _ in rows[acknowledged:]]
        if relations is None:
            self._by_relation.clear()
            self._rows.clear()
            self._any = number
            return
        for relation in relations:
            if relation not in begun or self._by_relation.get(relation) == _UNACKNOWLEDGED:
                self._by_relation[relation] = number

    def covers(self, relations: Collection[int], covered: int, rows_read: RowsRead = any_row) -> bool:
        """Tell whether every write that touches a read has been evicted.

        Args:
            relations: What it reads.
            covered: The newest covered probe.
            rows_read: Which rows of them; asked where only some rows of a relation were written.
        """
        if self._any > covered:
            return False
        by_relation = self._by_relation
        if not all(by_relation.get(relation, 0) <= covered for relation in relations):
            return False
        outstanding = [named for named, number in self._rows if number > covered and named.relation in relations]
        for relation in {named.relation for named in outstanding}:
            read = rows_read(relation)
            if read is None:
                return False
            written = [named for named in outstanding if named.relation == relation]
            if any(one.may_share_a_row(other) for one in read for other in written):
                return False
        return True

    def names_rows(self, relations: Collection[int], covered: int) -> bool:
        """Tell whether nothing is outstanding of these relations but rows that are named."""
        if self._any > covered:
            return False
        return all(self._by_relation.get(relation, 0) <= covered for relation in relations)

    def spare(self, looked_at: Sequence[NamedRows], covered: int) -> bool:
        """Tell whether every write that touches a read has been evicted, where these rows are all that it looks at."""
        if self._any > covered:
            return False
        rows = self._rows
        while rows and rows[0][1] <= covered:
            del rows[0]
        by_relation = self._by_relation
        for read in looked_at:
            if by_relation and by_relation.get(read.relation, 0) > covered:
                return False
            for written, _ in rows:
                if written.relation == read.relation and written.may_share_a_row(read):
                    return False
        return True

    def settled(self, covered: int) -> bool:
        """Tell whether nothing is outstanding any more, and forget what is covered."""
        if self._any > covered:
            return False
        rows = self._rows  # in the order of their numbers
        while rows and rows[0][1] <= covered:
            del rows[0]
        if self._by_relation:
            outstanding = {relation: number for relation, number in self._by_relation.items() if number > covered}
            self._by_relation = outstanding
        return not self._by_relation and not rows
