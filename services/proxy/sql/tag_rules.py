"""Which values of a statement name the rows that its answer rests on? Pure.

For each occurrence of a relation: columns that a row has to hold equal to values of the statement to be able to change
the answer (`blocks.py` says which conditions must hold for which rows; equalities between columns carry a value on).
The tag of such an answer is shape and values. Where no column is equal to values, one may have to be within a range,
and the tags are the blocks of values that cover it. Where the statement says nothing of the kind, it depends on the
relation; and where a row change tells which columns it left alone, the shape says which of them the statement looks at.

Which of the equalities make up the shape depends on what a change tells of the old row. With FULL identity all do. With
another, an update does not tell the old values of columns outside the identity and so evicts all answers of a shape
with such a column: where one inside the identity is held equal, those alone make up the shape. An answer that shows the
keys of all its rows need not be evicted with them, only with a change of one of these rows (`shown_keys.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.proxy.sql.given_conditions import Given, GivenConditions, Ref, Same
from services.proxy.sql.pages import Page, page_of
from services.proxy.sql.shown_keys import Outputs, ShownKey
from services.proxy.sql.snapshot import Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.tag_families import family_of, order_of
from services.proxy.sql.value_sources import UNBOUNDED, Bounds, ValueSource, source_of
from services.proxy.sql.views import tables_of_view
from services.proxy.sql.watched_columns import watched_columns
from services.proxy.sql.written_conditions import Condition
from services.shared.relation import Shape, ShapeColumn

MOST_COLUMNS = 4
"""Columns of a shape at most; a further equality would hardly make it narrower."""

_FULL_IDENTITY, _KEY_IDENTITY = "f", "d"


@dataclass(frozen=True, slots=True)
class TagRule:
    """How one occurrence of a relation is tagged.

    Attributes:
        shape: Its shape.
        sources: For each column of the shape that is equal to values those that it may have, one tag for each.
        bounds: Of the column that is within a range.
        key: Where the answer shows the key of every row that it rests on, so that only one of these can leave it.
        page: How the statement pages through the rows, if it does; the shape of a full page has this column's range.
    """

    shape: Shape
    sources: tuple[tuple[ValueSource, ...], ...] = ()
    bounds: Bounds = UNBOUNDED
    key: ShownKey | None = None
    page: Page | None = None


def tag_rules(statement: Statement) -> tuple[TagRule, ...]:
    """Return the rules of a statement that may be cached: one per occurrence of a table, and per table of a view."""
    return _TagRules(statement).rules()


def key_shape(relation: Relation) -> Shape | None:
    """Return the shape of reads by primary key; None where there is none, or its values have no canonical form."""
    columns = _typed(relation, relation.primary_key)
    return Shape(relation.oid, tuple(columns)) if columns and len(columns) == len(relation.primary_key) else None


class _TagRules:
    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._conditions = GivenConditions(statement)
        self._watched = watched_columns(statement)
        self._outputs = Outputs(statement, self._conditions.blocks)

    def rules(self) -> tuple[TagRule, ...]:
        rules: list[TagRule] = []
        for number, relation in enumerate(self._statement.relations):
            if relation is not None and relation.kind == "v":
                rules += (TagRule(Shape(oid)) for oid in tables_of_view(self._statement.catalog, relation.oid))
            elif relation is not None:
                rules += self._rules_of(relation, number)
        return tuple(rules)

    def _rules_of(self, relation: Relation, occurrence: int) -> list[TagRule]:
        """Return the rule of an occurrence, or of each alternative that rows of it may satisfy."""
        found = self._conditions.of(occurrence)
        rule = self._rule(relation, occurrence, found.given, found.same)
        if rule.shape.named:
            return [rule]
        for alternatives in found.alternatives:
            rules = [self._rule(relation, occurrence, given, found.same) for given in alternatives]
            if all(one.shape.named for one in rules):
                return rules
        return [rule]

    def _rule(self, relation: Relation, occurrence: int, given: Given, same: Same) -> TagRule:
        held = self._held(occurrence, given, same)
        columns = _chosen(relation, held)
        bounded = {} if columns else self._bounded(occurrence, given, same)
        ranged = _chosen_range(relation, bounded)
        named = columns if ranged is None else [ranged]
        shape = Shape(relation.oid, tuple(columns), self._watched_by(relation, occurrence, named), ranged)
        bounds = UNBOUNDED if ranged is None else bounded[ranged.name]
        page = self._page(relation, occurrence, shape)
        key = self._shown_key(relation, occurrence, named if page is None else [*named, page.column])
        return TagRule(shape, tuple(held[column.name] for column in columns), bounds, key, page)

    def _page(self, relation: Relation, occurrence: int, shape: Shape) -> Page | None:
        """Return how the statement pages, if to look at that makes the tags narrower."""
        page = page_of(self._statement, occurrence, self._outputs) if shape.ranged is None else None
        names = {column.name for column in shape.columns}
        if page is None or page.column.name in names or names >= set(relation.primary_key) > set():
            return None
        told = relation.identity == _FULL_IDENTITY or page.column.name in relation.identity_columns
        return page if told or not names or not names <= relation.identity_columns else None

    def _shown_key(self, relation: Relation, occurrence: int, named: Sequence[ShapeColumn]) -> ShownKey | None:
        """Return where the key is shown of rows whose old values are not told."""
        if relation.identity != _KEY_IDENTITY or {column.name for column in named} <= relation.identity_columns:
            return None
        key = key_shape(relation)
        return None if key is None else self._outputs.shown_key(occurrence, key)

    def _watched_by(
        self, relation: Relation, occurrence: int, columns: Sequence[ShapeColumn]
    ) -> tuple[str, ...] | None:
        """Return which columns an update has to touch, where a change of the relation can tell; None: it cannot."""
        watched = self._watched[occurrence]
        if watched is None:
            return None
        everything = watched | {column.name for column in columns}
        if relation.identity != _FULL_IDENTITY and not everything <= relation.identity_columns:
            return None
        if len(everything) < len(relation.columns):
            return tuple(sorted(everything))
        # All of them: an update to the same values does not matter. But a generated column may change by itself, and
        # changes do not tell of it.
        told = columns and not any(column.generated for column in relation.columns)
        return tuple(sorted(everything)) if told else None

    def _held(self, occurrence: int, given: Given, same: Same) -> dict[str, tuple[ValueSource, ...]]:
        """Return the columns of an occurrence that are held equal to values, and where those come from."""
        held: dict[str, tuple[ValueSource, ...]] = {}
        for ref, condition in given:
            sources = self._sources(ref, condition) if condition.sign == "=" else ()
            for mine in same.of(ref) if sources else ():
                known = held.get(mine.name)
                if mine.occurrence == occurrence and (known is None or len(sources) < len(known)):
                    held[mine.name] = sources
        return held

    def _bounded(self, occurrence: int, given: Given, same: Same) -> dict[str, Bounds]:
        """Return the columns of an occurrence that are within a range, and where its bounds come from."""
        bounded: dict[str, Bounds] = {}
        for ref, condition in given:
            for is_low, source in self._limits(ref, condition):
                for mine in same.of(ref):
                    if mine.occurrence == occurrence:
                        known = bounded.get(mine.name, UNBOUNDED)
                        bounded[mine.name] = known.with_limit(source, is_low=is_low)
        return bounded

    def _limits(self, ref: Ref, condition: Condition) -> Iterator[tuple[bool, ValueSource]]:
        """Give the bounds that a condition sets, and of each whether it is the lower one."""
        column = self._conditions.column(ref)
        order = order_of(column) if column is not None and condition.sign != "=" else None
        if order is None:
            return
        sides = (True, False) if condition.sign == "between" else (condition.sign == ">=",)
        for is_low, value in zip(sides, condition.values, strict=True):
            source = source_of(order, value, may_be_undeclared=value.ref.number not in self._conditions.of_unsure_type)
            if source is not None:
                yield is_low, source

    def _sources(self, ref: Ref, condition: Condition) -> tuple[ValueSource, ...]:
        family = self._conditions.family(ref)
        if family is None:
            return ()
        # The type of one among several follows from all of them.
        alike = len(condition.values) == 1 or all(
            value.ref.kind == "parameter" and not value.cast for value in condition.values
        )
        sources = [
            source_of(
                family, value, may_be_undeclared=alike and value.ref.number not in self._conditions.of_unsure_type
            )
            for value in condition.values
        ]
        known = tuple(source for source in sources if source is not None)
        return known if len(known) == len(sources) else ()


def _chosen(relation: Relation, held: Mapping[str, object]) -> list[ShapeColumn]:
    """Return the columns of the shape, in the order of their names."""
    if relation.identity != _FULL_IDENTITY:
        reported = {name: value for name, value in held.items() if name in relation.identity_columns}
        held = reported or held
    names = sorted(held)[:MOST_COLUMNS]
    if relation.primary_key and set(relation.primary_key) <= held.keys():
        names = list(relation.primary_key)  # one row: nothing is narrower
    return _typed(relation, names)


def _typed(relation: Relation, names: Iterable[str]) -> list[ShapeColumn]:
    found = (relation.column(name) for name in sorted(names))
    typed = ((column.name, family_of(column)) for column in found if column is not None)
    return [ShapeColumn(name, family.type_oid) for name, family in typed if family is not None]


def _chosen_range(relation: Relation, bounded: Mapping[str, Bounds]) -> ShapeColumn | None:
    """Return the column whose range is to be looked at: rather one that changes report, and that has two ends."""

    def rank(name: str) -> tuple[bool, bool, str]:
        untold = relation.identity != _FULL_IDENTITY and name not in relation.identity_columns
        return untold, not (bounded[name].low and bounded[name].high), name

    best = min(bounded, key=rank, default=None)
    column = relation.column(best) if best is not None else None
    return None if column is None else ShapeColumn(column.name, column.type_oid)
