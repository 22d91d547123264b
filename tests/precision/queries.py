"""Made queries: joins of every kind and nesting, sub-queries in every place, aggregates, set operations, CTEs. Pure.

What Postgres may answer in several ways (which of two equal rows stands for both, in what order) is avoided where that
is easy; the rest is found out when a failure is looked at again.
"""

from collections.abc import Sequence

from tests.precision.case import Query
from tests.precision.forms import function_item, named_join
from tests.precision.scopes import Item, Output, Scope, Writer
from tests.precision.tables import Table, World
from tests.precision.traps import make_trap
from tests.precision.values import INT4, INT8, TEXT, Kind
from tests.wire.chance import Chance

_ALIASES = ("x", "y", "z", "x", "y", '"X"', "t0", "t1")
_JOINS = ("JOIN", "JOIN", "INNER JOIN", "LEFT JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN", "FULL JOIN")


def make_query(chance: Chance, world: World) -> Query:
    """Make a query."""
    trap = make_trap(chance, world) if chance.one_in(3) else None
    if trap is not None:
        return trap
    maker = _Maker(chance, world)
    text = maker.statement()
    return Query(text, tuple(maker.writer.parameters))


class _Maker:
    def __init__(self, chance: Chance, world: World) -> None:
        self.chance = chance
        self.world = world
        self.writer = Writer(chance, self.sub_query)
        self.writer.uses_parameters = not chance.one_in(3)
        self._ctes: list[Item] = []
        self._seen: Scope | None = None  # of the block that was made last
        self._size = 0  # items of FROM so far: a query of many is only slow

    def statement(self) -> str:
        if self.chance.one_in(3):
            return self._simple()
        with_ = self._with() if self.chance.one_in(6) else ""
        text, outputs = self.select(None, None, 2)
        if self.chance.one_in(7):
            other, _ = self.select(None, [output.kind for output in outputs], 1)
            operation = self.chance.pick(("UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL"))
            text = f"{text} {operation} {other}"
        if self.chance.one_in(4):
            order = ", ".join(str(number + 1) for number in range(len(outputs)))
            if " UNION " not in text and self._seen is not None and self.chance.one_in(2):
                by = self.writer.column(self._seen)
                order = f"{by[0]}, {order}" if by is not None else order
            limit = self.chance.pick(("", " LIMIT 2", " LIMIT 3 OFFSET 1", " OFFSET 1"))
            text = f"{text} ORDER BY {order}{limit}"
        return with_ + text

    def _simple(self) -> str:
        """Make a read of few rows of one table, as applications make most."""
        table = self.chance.pick(self.world.tables)
        item = Item(table.name, [Output(column.sql, column.kind) for column in table.columns])
        scope = Scope([item])
        chosen = ", ".join({self.chance.pick(item.columns).name: 1 for _ in range(self.chance.between(1, 3))})
        what = self.chance.pick(("*", chosen, chosen, chosen, "count(*)"))
        keys = [output for output in item.columns if output.name in table.key]
        output = self.chance.pick(keys) if keys and self.chance.one_in(2) else self.chance.pick(item.columns)
        more = self.writer.conjunction(scope, 0, 1)
        condition = f"{output.name} = {self.writer.value(output.kind)}" + (f" AND {more}" if more else "")
        text = f"SELECT {what} FROM {table.name} WHERE {condition}"
        if what == chosen and self.chance.one_in(6):
            outputs = range(1, chosen.count(",") + 2)
            text += f" ORDER BY {self.chance.pick(item.columns).name}, {', '.join(map(str, outputs))} LIMIT 2"
        return text

    # -- blocks

    def select(self, parent: Scope | None, kinds: Sequence[Kind] | None, depth: int) -> tuple[str, list[Output]]:
        """Make one SELECT, with outputs of given kinds or of any."""
        from_, items = self._from(parent, depth)
        scope = Scope(items, parent)
        where = self.writer.conjunction(scope, depth, 3)
        text = f" FROM {from_}" + (f" WHERE {where}" if where else "")
        if kinds is None and self.chance.one_in(5):
            list_, tail, outputs = self._aggregated(scope, depth)
            self._seen = None
            return f"SELECT {list_}{text}{tail}", outputs
        list_, outputs = self._listed(scope, kinds, depth)
        self._seen = scope
        distinct = "DISTINCT " if self.chance.one_in(10) else ""
        return f"SELECT {distinct}{list_}{text}", outputs

    def sub_query(self, scope: Scope, kind: Kind | None, depth: int) -> str:
        """Make a sub-query of one column, or, without a kind, of anything."""
        if kind is None and self.chance.one_in(3):
            from_, items = self._from(scope, depth)
            where = self.writer.conjunction(Scope(items, scope), depth, 3)
            what = self.chance.pick(("SELECT", "SELECT *", "SELECT 1", "SELECT DISTINCT *"))
            tail = self.chance.pick(("", "", "", " OFFSET 1", " LIMIT 1"))
            return f"{what} FROM {from_}{f' WHERE {where}' if where else ''}{tail}"
        text, outputs = self.select(scope, None if kind is None else [kind], max(0, depth))
        if self.chance.one_in(10):
            other, _ = self.select(scope, [output.kind for output in outputs], 0)
            text = f"{text} {self.chance.pick(('UNION', 'EXCEPT', 'INTERSECT', 'UNION ALL'))} {other}"
        return text

    def _listed(self, scope: Scope, kinds: Sequence[Kind] | None, depth: int) -> tuple[str, list[Output]]:
        if kinds is None and self.chance.one_in(6):
            outputs = [output for item in scope.items for output in item.columns]
            if len({output.name for output in outputs}) == len(outputs):
                return "*", outputs
        wanted: list[Kind | None] = list(kinds) if kinds is not None else [None] * self.chance.between(1, 3)
        parts: list[str] = []
        outputs = []
        for number, kind in enumerate(wanted):
            text, made = self._expression(scope, kind, depth)
            name = self.chance.pick(("", "", f"o{number}", self.chance.pick(("a", "k", "id")))) if kinds is None else ""
            names = {output.name for output in outputs}
            name = f"o{number}" if not name or name in names else name
            parts.append(f"{text} AS {name}")
            outputs.append(Output(name, made))
        return ", ".join(parts), outputs

    def _expression(self, scope: Scope, kind: Kind | None, depth: int) -> tuple[str, Kind]:
        if kind is None and depth > 0 and self.chance.one_in(7):
            return self._scalar(scope, depth)
        if kind is None and self.chance.one_in(14):
            return self._window(scope)
        if kind is None and self.chance.one_in(14):
            return f"({self.chance.pick(scope.items).alias}::text)", TEXT  # the row
        found = self.writer.column(scope, kind) or self.writer.column(Scope(scope.items), kind)
        if found is None:
            value = "NULL" if kind is None or self.chance.one_in(3) else self.writer.value(kind)
            return f"({value})::{(kind or INT4).name}", kind or INT4
        return (f"({found[0]})::{kind.name}", kind) if kind is not None and found[1].name != kind.name else found

    def _scalar(self, scope: Scope, depth: int) -> tuple[str, Kind]:
        from_, items = self._from(scope, depth - 1)
        inner = Scope(items, scope)
        where = self.writer.conjunction(inner, depth - 1, 2)
        tail = f" FROM {from_}" + (f" WHERE {where}" if where else "")
        if self.chance.one_in(4):  # a sub-query of a sub-query, which aggregates or does not
            more = self.sub_query(inner, None, 0)
            return f"(SELECT (SELECT count(*) FROM ({more}) AS m) + count(*){tail})", INT8
        return f"(SELECT {self.chance.pick(('count(*)', 'count(*)', 'sum(1)'))}{tail})", INT8

    def _window(self, scope: Scope) -> tuple[str, Kind]:
        by = self.writer.column(Scope(scope.items))
        part = f"PARTITION BY {by[0]}" if by is not None and by[1].family != "json" else ""
        return f"count(*) OVER ({part})", INT8

    def _aggregated(self, scope: Scope, depth: int) -> tuple[str, str, list[Output]]:
        call = self._call(scope)
        if self.chance.one_in(3):
            extra = ""
            if depth > 0 and self.chance.one_in(3):
                extra = f", {self._scalar(scope, depth)[0]} AS more"
            return f"{call} AS n{extra}", "", [Output("n", INT8)]
        by = self.writer.column(Scope(scope.items))
        if by is None:
            return f"{call} AS n", "", [Output("n", INT8)]
        name, kind = by
        grouping = self.chance.pick((name, name, name, f"ROLLUP ({name})", f"GROUPING SETS (({name}), ())"))
        having = f" HAVING {self._call(scope)} > {self.chance.between(0, 1)}" if self.chance.one_in(3) else ""
        if depth > 0 and self.chance.one_in(5):
            having += f"{' AND' if having else ' HAVING'} EXISTS ({self.sub_query(scope, None, depth - 1)})"
        if self.chance.one_in(3):
            return f"{call} AS n", f" GROUP BY {grouping}{having}", [Output("n", INT8)]
        return f"{name} AS g, {call} AS n", f" GROUP BY {grouping}{having}", [Output("g", kind), Output("n", INT8)]

    def _call(self, scope: Scope) -> str:
        found = self.writer.column(Scope(scope.items))
        if found is None or self.chance.one_in(3):
            return "count(*)"
        if self.chance.one_in(8):
            return f"count({self.chance.pick(scope.items).alias})"
        name, kind = found
        filter_ = f" FILTER (WHERE {self.writer.condition(scope, 0)})" if self.chance.one_in(4) else ""
        if self.chance.one_in(3) and kind.orders and kind.family in ("numbers", "moments", "texts"):
            return f"length(max({name}::text)){filter_}"
        return f"count({self.chance.pick(('', 'DISTINCT '))}{name}){filter_}"

    # -- FROM

    def _from(self, parent: Scope | None, depth: int) -> tuple[str, list[Item]]:
        text, items = self._tree(parent, depth, [])
        while self.chance.one_in(6) and self._size < 5:
            more, added = self._tree(parent, depth, items)
            text, items = f"{text}, {more}", [*items, *added]
        return text, items

    def _tree(self, parent: Scope | None, depth: int, before: list[Item]) -> tuple[str, list[Item]]:
        """Make a tree of joins; `before` are the items in front of it, whose names are taken."""
        text, item = self._item(parent, depth, before)
        items = [item]
        while self.chance.one_in(2) and self._size < 5:
            join = self.chance.pick(_JOINS)
            if self.chance.one_in(8) and depth > 0:
                right, added = self._tree(parent, 0, [*before, *items])
                right = f"({right})" if len(added) > 1 and self.chance.one_in(2) else right
            else:
                right, one = self._item(parent, depth, [*before, *items])
                added = [one]
            text, items = self._joined(text, items, join, right, added, parent, depth)
        return text, items

    def _joined(
        self, text: str, items: list[Item], join: str, right: str, added: list[Item], parent: Scope | None, depth: int
    ) -> tuple[str, list[Item]]:
        both = [*items, *added]
        if self.chance.one_in(12):
            return f"{text} CROSS JOIN {right}", both
        common = [
            output.name
            for item in items
            for output in item.columns
            for other in added
            for another in other.columns
            if another.name == output.name and another.kind.family == output.kind.family
        ]
        if common and self.chance.one_in(6):
            if self.chance.one_in(5):
                return f"{text} NATURAL {join} {right}", both
            return f"{text} {join} {right} USING ({self.chance.pick(common)})", both
        scope = Scope(both, parent)
        on = self._on(scope, items, added)
        more = self.writer.conjunction(scope, min(depth, 1) if "FULL" not in join else 0, 1)
        if "FULL" in join:
            return f"{text} {join} {right} ON {on}" + (f" AND {more}" if more else ""), both
        return f"{text} {join} {right} ON {' AND '.join(part for part in (on, more) if part)}", both

    def _on(self, scope: Scope, items: list[Item], added: list[Item]) -> str:
        """Make an equality between the two sides, mostly; a FULL JOIN needs one."""
        for _ in range(4):
            left = self.writer.column(Scope(items))
            right = self.writer.column(Scope(added), left[1]) if left is not None else None
            if left is not None and right is not None:
                pair = (left[0], right[0])
                return " = ".join(pair if self.chance.one_in(2) else reversed(pair))
        return "true"

    def _item(self, parent: Scope | None, depth: int, before: list[Item]) -> tuple[str, Item]:
        self._size += 1
        taken = {item.alias for item in before}
        if depth > 0 and self.chance.one_in(14):
            return self._other_item(parent, self._alias("f", taken), before)
        if depth > 0 and self.chance.one_in(8):
            alias = self._alias("d", taken)
            if self.chance.one_in(3):
                inner, outputs = self.select(Scope(before, parent), None, depth - 1)
                return f"LATERAL ({inner}) AS {alias}", Item(alias, outputs)
            inner, outputs = self.select(parent, None, depth - 1)
            return f"({inner}) {alias}", Item(alias, outputs)
        if self._ctes and self.chance.one_in(2):
            cte = self.chance.pick(self._ctes)
            alias = self._alias(cte.alias, taken)
            return (cte.alias if alias == cte.alias else f"{cte.alias} {alias}"), Item(alias, cte.columns)
        table = self.chance.pick(self.world.tables)
        name = self._name(table)
        columns = table.columns
        if self.chance.one_in(10):
            name, columns = f"{table.name}_view", tuple(table.column(column) for column in table.view)
        alias = self._alias(name.removeprefix("ONLY "), taken)
        outputs = [Output(column.sql, column.kind) for column in columns]
        if alias != name and self.chance.one_in(20):
            outputs = [Output("a", outputs[0].kind), *outputs[1:]]
            return f"{name} AS {alias} (a)", Item(alias, outputs)
        return (name if alias == name else f"{name} {self.chance.pick(('', 'AS '))}{alias}"), Item(alias, outputs)

    def _other_item(self, parent: Scope | None, alias: str, before: list[Item]) -> tuple[str, Item]:
        if self.chance.one_in(2):
            tree, items = self._tree(parent, 0, [])
            if (named := named_join(alias, tree, items)) is not None:
                return named
        return function_item(self.chance, alias, self.writer.column(Scope(before)) if before else None)

    def _name(self, table: Table) -> str:
        if table.partitions and self.chance.one_in(4):
            return self.chance.pick(table.partitions)[0]
        if table.child and self.chance.one_in(4):
            return self.chance.pick((table.child, f"ONLY {table.name}"))
        return table.name

    def _alias(self, name: str, taken: set[str]) -> str:
        """Choose a name by which an item goes, often one that is used elsewhere too."""
        for alias in (name if self.chance.one_in(2) else self.chance.pick(_ALIASES), *_ALIASES, name):
            if alias not in taken:
                return alias
        return f"n{self._size}"

    def _with(self) -> str:
        """Make CTEs, which may have a table's name."""
        made: list[str] = []
        recursive = self.chance.one_in(4)
        for number in range(self.chance.between(1, 2)):
            text, outputs = self.select(None, None, 1)
            name = self.chance.pick((f"c{number}", f"c{number}", f"t{number}"))
            if recursive and number == 0:
                text, outputs = self._recursive(name)
            materialized = self.chance.pick(("", "", "MATERIALIZED ", "NOT MATERIALIZED "))
            made.append(f"{name} AS {materialized}({text})")
            self._ctes.append(Item(name, outputs))
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(made)} "

    def _recursive(self, name: str) -> tuple[str, list[Output]]:
        table = self.chance.pick(self.world.tables)
        columns = [column for column in table.columns if column.kind.is_number]
        one = columns[0].sql if columns else "1"
        first = self.writer.conjunction(Scope([Item(table.name, [Output(c.sql, c.kind) for c in columns])]), 0, 1)
        where = f" WHERE {first}" if first and columns else ""
        text = (
            f"SELECT {one}::int8 AS a, 1 AS n FROM {table.name}{where} UNION "
            f"SELECT q.{one if columns else 'id'}::int8, w.n + 1 FROM {name} w JOIN {table.name} q ON w.n < 3 "
            f"AND q.{one if columns else 'id'}::text = w.a::text"
        )
        return text, [Output("a", INT8), Output("n", INT4)]
