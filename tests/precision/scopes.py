"""What names may mean in a made query, and conditions on them. Pure.

Names are written with or without the item that they belong to, also where a nearer item has one of the same name: then
they mean that one, or nothing, and Postgres says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.precision.case import Parameter
from tests.precision.values import MOOD, Kind, array_parameter, array_text, literal, parameter, quoted
from tests.wire.chance import Chance


@dataclass(frozen=True, slots=True)
class Output:
    """A column that an item gives; its name as it is written."""

    name: str
    kind: Kind


@dataclass(slots=True)
class Item:
    """An item of FROM."""

    alias: str
    columns: list[Output]


@dataclass(slots=True)
class Scope:
    """The items that are seen, and the scope around."""

    items: list[Item]
    parent: "Scope | None" = None

    def levels(self) -> list[list[Item]]:
        """Return the items, the nearest scope first."""
        return [self.items, *(self.parent.levels() if self.parent is not None else [])]


SubQuery = Callable[["Scope", Kind | None, int], str]
"""Makes a sub-query of one column (of any kind: None) that may look at a scope, so many levels deep."""


@dataclass
class Writer:
    """Writes expressions, and collects their parameters."""

    chance: Chance
    sub_query: SubQuery
    parameters: list[Parameter] = field(default_factory=list)
    uses_parameters: bool = True

    # -- values

    def value(self, kind: Kind, text: str | None = None) -> str:
        """Write a value, as a literal or as a parameter."""
        text = text if text is not None else self.chance.pick((*kind.values, *kind.values, *kind.odd))
        if not self.uses_parameters or self.chance.one_in(2):
            return literal(self.chance, kind, text)
        if self.parameters and self.chance.one_in(12):
            return f"${self.chance.between(1, len(self.parameters))}"
        made, cast = parameter(self.chance, kind, text)
        self.parameters.append(made)
        return f"${len(self.parameters)}{cast}"

    def array(self, kind: Kind) -> str:
        """Write an array of a kind's values behind ANY."""
        values: list[str | None] = [self.chance.pick(kind.values) for _ in range(self.chance.between(0, 3))]
        if self.chance.one_in(4):
            values.insert(self.chance.between(0, len(values)), None)
        if not self.uses_parameters or self.chance.one_in(2):
            cast = f"::{kind.name}[]" if self.chance.one_in(2) else ""
            return quoted(array_text(values)) + cast
        made, cast = array_parameter(self.chance, kind, values)
        self.parameters.append(made)
        return f"${len(self.parameters)}{cast}"

    # -- columns

    def column(self, scope: Scope, like: Kind | None = None) -> tuple[str, Kind] | None:
        """Write a column that is seen: of any kind, or of one that compares with another's."""
        levels = scope.levels()
        level = levels[0] if len(levels) == 1 or not self.chance.one_in(3) else self.chance.pick(levels[1:])
        found = [
            (item, output)
            for item in level
            for output in item.columns
            if like is None or output.kind.family == like.family
        ]
        if not found:
            return None
        item, output = self.chance.pick(found)
        return self.name(levels, item, output), output.kind

    def name(self, levels: list[list[Item]], item: Item, output: Output) -> str:
        """Write a name, sometimes without its item where that is clear or nearly so."""
        alone = sum(other.name == output.name for each in levels[0] for other in each.columns) <= 1
        if alone and self.chance.one_in(4):
            return output.name
        return f"{item.alias}.{output.name}"

    # -- conditions

    def condition(self, scope: Scope, depth: int) -> str:
        """Write a condition."""
        makers: list[tuple[int, Callable[[Scope, int], str]]] = [
            (14, self._equal), (8, self._same), (3, self._in), (3, self._any), (6, self._compare), (1, self._null),
            (1, self._odd),
        ]  # fmt: skip
        if depth > 0:
            makers += [(2, self._or), (1, self._not), (3, self._exists), (3, self._in_query), (1, self._case)]
        make = self.chance.pick([make for weight, make in makers for _ in range(weight)])
        return make(scope, depth)

    def conjunction(self, scope: Scope, depth: int, most: int) -> str:
        """Write several conditions that must all hold; empty for none."""
        parts = [self.condition(scope, depth) for _ in range(self.chance.between(0, most))]
        return " AND ".join(f"({part})" if " OR " in part or self.chance.one_in(8) else part for part in parts)

    def _some(self, scope: Scope) -> tuple[str, Kind]:
        found = self.column(scope) or self.column(Scope(scope.items))
        if found is None:
            return "1", _INT
        if found[1].family in _DULL and not self.chance.one_in(3):
            return self.column(scope) or found
        return found

    def _equal(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        value = self.value(kind)
        return f"{value} = {name}" if self.chance.one_in(6) else f"{name} = {value}"

    def _same(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        other = self.column(scope, kind)
        if other is None or other[0] == name:
            return self._equal(scope, depth)
        return f"{name} = {other[0]}"

    def _in(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        values = [self.value(kind) for _ in range(self.chance.between(1, 3))]
        if self.chance.one_in(8):
            values.append("NULL")
        return f"{name} {'NOT ' if self.chance.one_in(6) else ''}IN ({', '.join(values)})"

    def _any(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        if kind.name.startswith("_") or kind is MOOD:
            return self._in(scope, depth)
        return f"{name} = ANY ({self.array(kind)})"

    def _compare(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        if not kind.orders:
            return f"{name} IS NOT NULL"
        if self.chance.one_in(3):
            return f"{name} BETWEEN {self.value(kind)} AND {self.value(kind)}"
        return f"{name} {self.chance.pick(('<', '<=', '>', '>=', '<>'))} {self.value(kind)}"

    def _null(self, scope: Scope, depth: int) -> str:
        return f"{self._some(scope)[0]} IS {self.chance.pick(('', 'NOT '))}NULL"

    def _odd(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        value = self.value(kind)
        return self.chance.pick(
            (
                f"{name} IS NOT DISTINCT FROM {value}",
                f"{name}::text = {quoted(self.chance.pick(kind.values))}",
                f"({name} = {value}) IS NOT TRUE",
                f"({name} = {value}) = true",
                f"coalesce({name} = {value}, true)",
                f"nullif({name}, {value}) IS NULL",
                f"({name}, 1) = ({value}, 1)",
            )
        )

    def _or(self, scope: Scope, depth: int) -> str:
        parts = [self.condition(scope, depth - 1) for _ in range(2)]
        return f"{parts[0]} OR {parts[1]}"

    def _not(self, scope: Scope, depth: int) -> str:
        return f"NOT ({self.condition(scope, depth - 1)})"

    def _exists(self, scope: Scope, depth: int) -> str:
        return f"{self.chance.pick(('', '', 'NOT '))}EXISTS ({self.sub_query(scope, None, depth - 1)})"

    def _in_query(self, scope: Scope, depth: int) -> str:
        name, kind = self._some(scope)
        inner = self.sub_query(scope, kind, depth - 1)
        how = self.chance.pick(("IN ({})", "IN ({})", "NOT IN ({})", "= ANY ({})", "= ({} LIMIT 1)", "<> ALL ({})"))
        if "LIMIT" in how:
            return (
                f"{name} = (SELECT max(m.one::text) FROM ({inner}) m(one))"
                if kind.family == "texts"
                else f"{name} {_IN.format(inner)}"
            )
        return f"{name} {how.format(inner)}"

    def _case(self, scope: Scope, depth: int) -> str:
        condition = self.condition(scope, depth - 1)
        return f"CASE WHEN {condition} THEN {self.condition(scope, 0)} ELSE {self.chance.pick(('true', 'NULL'))} END"


_IN = "IN ({})"
_DULL = ("bool", "ints", "text arrays", "json")
_INT = Kind("int4", "int4", "numbers", ("1", "2"))
