"""Which conditions rows of an occurrence have to satisfy, with the columns that their names mean. Pure.

`blocks.py` says which conjuncts must hold for which rows, `conditions.py` which of them can be read; here names are
looked up. Among the conjuncts may be disjunctions: of each, one of several lists of conditions has to hold.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlglot import exp

from services.proxy.sql.blocks import Block, Demand, read_blocks
from services.proxy.sql.claims import Name, claim_of, conjuncts, disjuncts
from services.proxy.sql.conditions import agreed_conditions
from services.proxy.sql.snapshot import Column
from services.proxy.sql.statement import Statement
from services.proxy.sql.tag_families import Family, family_of
from services.proxy.sql.tokens import TokenKind
from services.proxy.sql.written_conditions import Condition

MOST_ALTERNATIVES = 8
"""Of a disjunction: each takes a shape of its own."""


class Ref(NamedTuple):
    """A column of an occurrence."""

    occurrence: int
    name: str


Given = list[tuple[Ref, Condition]]
"""How columns compare with values."""


class Same:
    """Columns that are equal to each other."""

    def __init__(self) -> None:
        self._classes: dict[Ref, set[Ref]] = {}

    def of(self, ref: Ref) -> set[Ref]:
        """Return all that are equal to one."""
        return self._classes.get(ref, {ref})

    def join(self, one: Ref, other: Ref) -> None:
        """Note that two are equal."""
        merged = self.of(one) | self.of(other)
        for ref in merged:
            self._classes[ref] = merged


@dataclass(slots=True)
class GivenOf:
    """What rows of an occurrence have to satisfy.

    Attributes:
        given: Conditions that must all hold.
        same: Columns that are equal to each other.
        alternatives: For each disjunction lists of conditions, of which one has to hold as a whole.
    """

    given: Given = field(default_factory=list)
    same: Same = field(default_factory=Same)
    alternatives: list[list[Given]] = field(default_factory=list)


class GivenConditions:
    """The conditions of a statement.

    Attributes:
        blocks: Its blocks, the outermost first.
        of_unsure_type: Numbers of the parameters that a client has to declare, since their uses do not tell their type.
    """

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        tree = statement.tree
        nodes = {id(found.node): number for number, found in enumerate(statement.occurrences)}
        self._written = agreed_conditions(tree, statement.tokens) if tree is not None else {}
        self.blocks = read_blocks(tree, nodes) if tree is not None else []
        self._placed = {
            source.occurrence: (block, index)
            for block in self.blocks
            for index, source in enumerate(block.sources)
            if source.occurrence is not None
        }
        self.of_unsure_type = self._parameters_of_unsure_type()

    def of(self, occurrence: int) -> GivenOf:
        """Return what rows of an occurrence have to satisfy."""
        found = GivenOf()
        if occurrence not in self._placed:
            return found
        block, index = self._placed[occurrence]
        for demand, where in block.demanded_of(index):
            parts = list(disjuncts(demand.conjunct))
            if len(parts) == 1:
                self._add(found.given, found.same, demand.conjunct, demand, where)
            elif len(parts) <= MOST_ALTERNATIVES:
                found.alternatives.append([self._all_of(part, demand, where) for part in parts])
        return found

    def column(self, ref: Ref) -> Column | None:
        """Return the column that a reference means."""
        relation = self._statement.relations[ref.occurrence]
        return relation.column(ref.name) if relation is not None else None

    def family(self, ref: Ref) -> Family | None:
        """Return with what a column's values compare."""
        column = self.column(ref)
        return None if column is None else family_of(column)

    def _all_of(self, alternative: exp.Expr, demand: Demand, where: Block) -> Given:
        given: Given = []
        for conjunct in conjuncts(alternative):
            self._add(given, Same(), conjunct, demand, where)
        return given

    def _add(self, given: Given, same: Same, conjunct: exp.Expr, demand: Demand, where: Block) -> None:
        """Add a conjunct to the conditions, or to the columns that are the same, if it can be read."""
        condition = self._condition(conjunct)
        ref = self._resolve(condition.column, where, demand.visible) if condition is not None else None
        if condition is None or ref is None:
            return
        if not condition.other:
            given.append((ref, condition))
            return
        other = self._resolve(condition.other, where, demand.visible)
        if other is not None and self._compare_as_values(ref, other):
            same.join(ref, other)

    def _compare_as_values(self, one: Ref, other: Ref) -> bool:
        family, same = self.family(one), self.family(other)
        return family is not None and same is not None and family.name == same.name

    def _condition(self, conjunct: exp.Expr) -> Condition | None:
        claim = claim_of(conjunct)
        return self._written.get(claim) if claim is not None else None

    def _readable(self) -> Iterator[tuple[Condition, Column | None]]:
        """Give every condition that can be read, with its column."""
        for block in self.blocks:
            for demand in block.demands:
                for part in disjuncts(demand.conjunct):
                    for conjunct in conjuncts(part):
                        condition = self._condition(conjunct)
                        if condition is not None:
                            ref = self._resolve(condition.column, block, demand.visible)
                            yield condition, None if ref is None else self.column(ref)

    def _parameters_of_unsure_type(self) -> frozenset[int]:
        """Return the parameters that a client has to declare, since their other uses may decide what they are.

        `n = $1` makes the parameter of the column's type only where nothing before it makes it something else.
        """
        used = Counter(token.number - 1 for token in self._statement.tokens if token.kind is TokenKind.PARAMETER)
        sure: Counter[int] = Counter()
        types: dict[int, set[str]] = {}
        for condition, column in self._readable():
            for value in condition.values:
                if value.ref.kind == "parameter" and (value.cast or column is not None):
                    sure[value.ref.number] += 1
                    name = value.cast or (column.type_name if column is not None else "")
                    types.setdefault(value.ref.number, set()).add(f"{name} {value.is_array}")
        return frozenset(
            number for number, uses in used.items() if uses > 1 and (sure[number] < uses or len(types[number]) > 1)
        )

    def _resolve(self, name: Name, block: Block, visible: frozenset[int]) -> Ref | None:
        """Return the column that a name means where only some items of a block are seen, and all of those around."""
        found: Block | None = block
        sources = [source for index, source in enumerate(block.sources) if index in visible]
        while found is not None:
            if not found.is_plain:
                return None
            *qualifiers, column = name
            if qualifiers:
                means = [source for source in sources if source.alias == qualifiers[-1]]
                if means:
                    return self._ref(means[0].occurrence, column) if len(means) == len(qualifiers) == 1 else None
            else:
                if column in found.merged:
                    return None
                refs = [self._ref(source.occurrence, column) for source in sources]
                known = [ref for ref in refs if ref is not None]
                if known:
                    return known[0] if len(known) == 1 else None
                if any(source.occurrence is None for source in sources):
                    return None
            found = found.parent
            sources = found.sources if found is not None else []
        return None

    def _ref(self, occurrence: int | None, name: str) -> Ref | None:
        if occurrence is None:
            return None
        ref = Ref(occurrence, name)
        return None if self.column(ref) is None else ref
