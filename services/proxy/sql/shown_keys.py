"""Which relations does an answer show by their keys, each row that it rests on? Pure.

An update that does not tell the row's old values may have taken a row out of any answer. But of an answer that shows
every row which it rests on with its primary key, it took one out only if that key is shown. It does so for a relation
whose rows reach the result as they come out of FROM and WHERE, one by one or gathered in groups by their key:

* the statement is one SELECT, whose FROM has the relation, and nothing else in the statement has;
* an outer join does not make its rows up, nor leave them out of what is shown because of others;
* no row that is not shown counts for others: none is skipped (by an OFFSET that is not 0), or seen by window functions,
  or by the totals of grouping sets. What LIMIT, DISTINCT ON or HAVING leave out may go without altering anything;
* it is not grouped where rows of children by INHERITS are read: one of these may have the key of a row of the parent,
  so that a group that is left out loses one of its rows, and then is not left out any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from services.proxy.sql.blocks import Block
from services.proxy.sql.claims import ValueRef
from services.proxy.sql.functions import CLOCK_WORDS, SPECIAL_FORMS
from services.proxy.sql.row_limits import row_limits
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.statement import Statement
from services.shared.relation import Shape

_FORMS = SPECIAL_FORMS | CLOCK_WORDS | {"case"}
"""What looks like no call and gives its name all the same, or like one and is in no catalog."""

_COUNT_HIDDEN_ROWS = frozenset(("over", "rollup", "cube", "sets"))


@dataclass(frozen=True, slots=True)
class ShownKey:
    """Where an answer's rows show the key of one relation.

    Attributes:
        shape: That of reads by this key.
        places: The output column of each of its columns.
        width: How many columns a row has; in a row of another width they would be elsewhere.
        offset: Where the number of rows comes from that are skipped, of which none is shown; None: no row is.
    """

    shape: Shape
    places: tuple[int, ...]
    width: int
    offset: ValueRef | None = None


class Outputs:
    """What the columns of a statement's result are, where each can be told."""

    def __init__(self, statement: Statement, blocks: Sequence[Block]) -> None:
        self._statement = statement
        self._places: dict[tuple[int, str], int] = {}
        self._names: list[tuple[int, str]] = []  # by which columns of the result go, where it is said
        self._nameless: list[exp.Expr] = []  # what Postgres gives names to
        self._width = 0
        self._offset: ValueRef | None = None
        limits = row_limits(statement)
        if limits is None and "offset" in statement.words:
            return
        self._offset = limits.offset if limits is not None else None
        select = statement.tree
        if isinstance(select, exp.Select) and blocks[0].is_plain and _COUNT_HIDDEN_ROWS.isdisjoint(statement.words):
            self._read(select, blocks[0], _kept_by_joins(select))

    def shown_key(self, occurrence: int, shape: Shape) -> ShownKey | None:
        """Return where the key of an occurrence is shown; None where it, or a row, may not be.

        Args:
            occurrence: The occurrence.
            shape: That of reads by the key.
        """
        relations = self._statement.relations
        if sum(relation is not None and relation.oid == shape.relation for relation in relations) != 1:
            return None
        relation = relations[occurrence]
        if relation is None or ("group" in self._statement.words and relation.kind != "p" and relation.parts):
            return None
        places = [self._places.get((occurrence, column.name)) for column in shape.columns]
        known = tuple(place for place in places if place is not None)
        whole = bool(known) and len(known) == len(places)
        return ShownKey(shape, known, self._width, self._offset) if whole else None

    @property
    def width(self) -> int:
        """How many columns the result has; 0 if that cannot be told."""
        return self._width

    def is_alone(self, occurrence: int) -> bool:
        """Whether nothing else in the statement is the occurrence's relation, and its rows may be shown."""
        found = self._statement.relations[occurrence]
        same = [relation for relation in self._statement.relations if relation is not None and relation == found]
        return len(same) == 1 and any(number == occurrence for number, _ in self._places)

    def place(self, occurrence: int, column: str) -> int | None:
        """Return which column of the result is a column of an occurrence."""
        return self._places.get((occurrence, column))

    def renames(self, name: str, place: int) -> bool:
        """Whether a column of the result goes by a name, and is not the one at a place."""
        return any(known == name and number != place for number, known in self._names) or any(
            self._may_be_called(item, name) for item in self._nameless
        )

    def _may_be_called(self, item: exp.Expr, name: str) -> bool:
        """Whether Postgres may call an output so that has no name of its own: `price::text` is called price.

        It gives it the name of a column within it, which may be one of a sub-query, or of a function, form or type.
        """
        catalog = self._statement.catalog
        return name in catalog.functions.builtin | catalog.builtin_types | _FORMS or any(
            part.name == name for part in item.find_all(exp.Identifier, exp.Dot)
        )

    def _read(self, select: exp.Select, block: Block, kept: frozenset[int]) -> None:
        """Number the result's columns; none is known if it cannot be told how many a `*` stands for."""
        occurrences = {source.alias: source.occurrence for source in block.sources}
        if len(occurrences) != len(block.sources):
            return
        found: list[tuple[int, str] | None] = []
        for item in select.expressions:
            if isinstance(item, exp.Alias):
                self._names.append((len(found), item.alias))
            elif not isinstance(item, exp.Column | exp.Star):
                self._nameless.append(item)
            expression = item.unalias()
            star = _star_of(expression)
            if star is None:
                found.append(self._column(expression, occurrences))
                continue
            starred = list(occurrences.values()) if star == "" else [occurrences.get(star)]
            columns = [self._columns(occurrence) for occurrence in starred]
            if block.merged or any(not of for of in columns):
                return
            found += [column for of in columns for column in of]
        seen = {source.occurrence for index, source in enumerate(block.sources) if index in kept}
        self._places = {column: place for place, column in enumerate(found) if column is not None and column[0] in seen}
        self._width = len(found)

    def _column(self, node: exp.Expr, occurrences: Mapping[str, int | None]) -> tuple[int, str] | None:
        """Return which column of which occurrence a plain column is."""
        if not isinstance(node, exp.Column) or node.db:
            return None
        if node.table:
            candidates = [occurrences.get(node.table)]
        else:
            candidates = [found for found in occurrences.values() if self._has(found, node.name)]
        if len(candidates) != 1 or candidates[0] is None or not self._has(candidates[0], node.name):
            return None
        # Without its table, a name may be a column of something in FROM that is no relation.
        unsure = not node.table and None in occurrences.values()
        return None if unsure else (candidates[0], node.name)

    def _relation(self, occurrence: int | None) -> Relation | None:
        return None if occurrence is None else self._statement.relations[occurrence]

    def _has(self, occurrence: int | None, name: str) -> bool:
        relation = self._relation(occurrence)
        return relation is not None and relation.column(name) is not None

    def _columns(self, occurrence: int | None) -> list[tuple[int, str]]:
        relation = self._relation(occurrence)
        if relation is None or occurrence is None:
            return []
        return [(occurrence, column.name) for column in relation.columns]


def _star_of(node: exp.Expr) -> str | None:
    """Return whose columns a `*` stands for, "" for all; None where the node is no such."""
    if isinstance(node, exp.Star):
        return ""
    return node.table if isinstance(node, exp.Column) and isinstance(node.this, exp.Star) else None


def _kept_by_joins(select: exp.Select) -> frozenset[int]:
    """Return the items of FROM whose rows, where they satisfy the conditions, all come out of the joins as they are."""
    joins = select.args.get("joins") or []
    sides = [join.side.upper() for join in joins]
    if "RIGHT" in sides or "FULL" in sides:
        return frozenset()
    return frozenset((0, *(index + 1 for index, side in enumerate(sides) if side != "LEFT")))
