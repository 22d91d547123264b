"""Made queries of the shapes in which a rule goes wrong if it goes wrong at all; tables, columns and values vary. Pure.

What is made freely has such a shape once in thousands.
"""

from collections.abc import Callable
from struct import pack

from tests.precision.case import Parameter, Query
from tests.precision.tables import Column, Table, World
from tests.precision.values import TEXT, quoted
from tests.wire.chance import Chance


def make_trap(chance: Chance, world: World) -> Query | None:
    """Make a query; None where the tables have not what it needs."""
    trap = _Trap(chance, world)
    try:
        text = chance.pick(_TRAPS)(trap)
    except LookupError:
        return None
    return Query(text, tuple(trap.parameters))


class _Trap:
    def __init__(self, chance: Chance, world: World) -> None:
        self.chance = chance
        self.parameters: list[Parameter] = []
        self._tables = [table for table in world.tables if table.identity == "full"] or list(world.tables)
        self._world = world
        self._columns: dict[str, list[Column]] = {}

    def table(self, alias: str) -> str:
        """Choose a table with numbers for an alias."""
        table = self.chance.pick(self._tables if not self.chance.one_in(5) else self._world.tables)
        self._columns[alias] = [column for column in table.columns if column.kind.is_number]
        if not self._columns[alias]:
            raise LookupError("no numbers")
        return f"{table.name} {alias}"

    def number(self, alias: str) -> str:
        """Choose a column of numbers."""
        return f"{alias}.{self.chance.pick(self._columns[alias]).sql}"

    def value(self) -> str:
        return self.chance.pick(("0", "1", "2", "1"))

    def with_column(
        self, fits: Callable[[Column], bool], of: Callable[[Table], bool] = lambda _: True
    ) -> tuple[Table, Column]:
        """Choose a table with a column that fits."""
        found = [
            (table, column) for table in self._world.tables if of(table) for column in table.columns if fits(column)
        ]
        return self.chance.pick(found) if found else _nothing()

    def maybe(self, text: str) -> str:
        return text if self.chance.one_in(2) else ""


def _nothing() -> tuple[Table, Column]:
    raise LookupError("no such column")


def _two(trap: _Trap) -> str:
    x, y = trap.table("x"), trap.table("y")
    join = trap.chance.pick(("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
    more = f" AND {trap.number(trap.chance.pick('xy'))} = {trap.value()}"
    what = trap.chance.pick(("count(*)", trap.number("x"), trap.number("y"), f"{trap.number('x')}, {trap.number('y')}"))
    where = trap.maybe(trap.maybe(f" WHERE {trap.number(trap.chance.pick('xy'))} = {trap.value()}"))
    return f"SELECT {what} FROM {x} {join} {y} ON {trap.number('x')} = {trap.number('y')}{more}{where}"


def _three(trap: _Trap) -> str:
    x, y, z = trap.table("x"), trap.table("y"), trap.table("z")
    first = trap.chance.pick(("JOIN", "JOIN", "LEFT JOIN"))
    second = trap.chance.pick(("LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"))
    more = f" AND {trap.number(trap.chance.pick('xy'))} = {trap.value()}"
    again = trap.maybe(f" AND {trap.number(trap.chance.pick('xyz'))} = {trap.value()}")
    what = trap.chance.pick(("count(*)", trap.number("z"), f"{trap.number('x')}, {trap.number('z')}"))
    left = f"{x} {first} {y} ON {trap.number('x')} = {trap.number('y')}{more}"
    if trap.chance.one_in(4):
        left = f"{x}, {y}"
        return f"SELECT {what} FROM {left} {second} {z} ON {trap.number('y')} = {trap.number('z')}{again}"
    right = trap.number(trap.chance.pick("xy"))
    return f"SELECT {what} FROM {left} {second} {z} ON {right} = {trap.number('z')}{again}"


def _hidden_name(trap: _Trap) -> str:
    """A name in ON that an item behind it has, and that means one of the query around."""
    outer = trap.table("x")
    name = trap.number("x")
    y, z, inner = trap.table("y"), trap.table("z"), outer
    shown = trap.number("x")
    tail = trap.chance.pick((f" JOIN {inner} ON true", f" CROSS JOIN {inner}"))
    from_ = f"{y} JOIN {z} ON {trap.number('z')} = {name}{tail}"
    if trap.chance.one_in(2):
        from_ = f"{inner}, {y} JOIN {z} ON {trap.number('z')} = {name}"
    condition = trap.chance.pick((name, name, shown))
    return f"SELECT {name} FROM {outer} WHERE EXISTS (SELECT 1 FROM {from_} WHERE {condition} = {trap.value()})"


def _not_in(trap: _Trap) -> str:
    x, y = trap.table("x"), trap.table("y")
    one = trap.number("x")
    how = trap.chance.pick(("NOT IN", "NOT IN", "IN", "<> ALL", "= ANY"))
    where = trap.maybe(trap.maybe(f" WHERE {trap.number('y')} = {trap.number('x')}"))
    return (
        f"SELECT {trap.number('x')} FROM {x} WHERE {one} = {trap.value()} "
        f"AND {one} {how} (SELECT {trap.number('y')} FROM {y}{where})"
    )


def _over_nothing(trap: _Trap) -> str:
    x, y, z = trap.table("x"), trap.table("y"), trap.table("z")
    one = trap.number("x")
    asked = f"(SELECT count(*) FROM {z} WHERE {trap.number('z')} = {one})"
    condition = trap.chance.pick((f"{one} = {trap.value()}", f"{trap.number('y')} = {one} AND {one} = {trap.value()}"))
    inner = trap.chance.pick((f"{asked} + count(*)", asked, f"max({asked})", f"{asked} + sum(1)"))
    return f"SELECT {one}, (SELECT {inner} FROM {y} WHERE {condition} LIMIT 1) FROM {x}"


def _correlated(trap: _Trap) -> str:
    x, y = trap.table("x"), trap.table("y")
    inner = (
        f"(SELECT {trap.chance.pick(('count(*)', 'sum(1)'))} FROM {y} WHERE {trap.number('y')} = {trap.number('x')})"
    )
    condition = f"{trap.number('x')} = {trap.value()}"
    tail = trap.chance.pick(("", f" GROUP BY {trap.number('x')}", f" AND {inner} > 0", f" OR {inner} > 0"))
    if tail.startswith(" GROUP"):
        by = tail.removeprefix(" GROUP BY ")
        tail = trap.chance.pick((tail, f" GROUP BY ROLLUP ({by})"))
        inner = f"(SELECT count(*) FROM {y} WHERE {trap.number('y')} = {by})"
    return f"SELECT {inner} AS n FROM {x} WHERE {condition}{tail}"


def _ordered(trap: _Trap) -> str:
    x = trap.table("x")
    by = f"x.{trap.chance.pick(trap._columns['x']).sql}"
    where = trap.maybe(f" WHERE {trap.number('x')} < 3")
    return f"SELECT {trap.number('x')} FROM {x}{where} ORDER BY {by}, 1 LIMIT 2"


def _unselected_group(trap: _Trap) -> str:
    x = trap.table("x")
    return f"SELECT count(*) FROM {x} GROUP BY {trap.number('x')}"


def _named_cte(trap: _Trap) -> str:
    """A CTE of the name of the table that it reads."""
    x, y = trap.table("x"), trap.table("y")
    name = x.removesuffix(" x")
    where = trap.maybe(f" WHERE {trap.number('x')} = {trap.value()}")
    inner = f"SELECT {trap.number('x')} AS a FROM {x}{where}"
    return f"WITH {name} AS ({inner}) SELECT count(*) FROM {name} x JOIN {y} ON x.a = {trap.number('y')}"


def _distinct_exists(trap: _Trap) -> str:
    table, column = trap.with_column(lambda column: column.kind.is_number, lambda table: not table.key)
    distinct = trap.chance.pick(("DISTINCT ", "DISTINCT ", ""))
    inner = f"SELECT {distinct}* FROM {table.name} WHERE {column.sql} = {trap.value()} OFFSET 1"
    return f"SELECT {trap.chance.pick(('', 'NOT '))}EXISTS ({inner}) AS some"


def _long(trap: _Trap) -> str:
    """A value that is moved out of the row."""
    table, column = trap.with_column(
        lambda column: column.kind is TEXT and not column.generated, lambda table: table.identity != "full"
    )
    value = quoted(column.kind.values[-1])
    return f"SELECT {trap.chance.pick(table.columns).sql} FROM {table.name} WHERE {column.sql} = {value}"


def _array(trap: _Trap) -> str:
    table, column = trap.with_column(lambda column: column.kind.name in ("int4", "int8", "text", "varchar", "numeric"))
    values = [trap.chance.pick(column.kind.values) for _ in range(2)]
    elements = [trap.chance.pick(("NULL", "null")), *map(_element, values)]
    if trap.chance.one_in(2):
        elements.reverse()
    array = quoted("{" + ", ".join(elements) + "}")
    return f"SELECT {trap.chance.pick(table.columns).sql} FROM {table.name} WHERE {column.sql} = ANY ({array})"


def _element(value: str) -> str:
    if value and value.upper() != "NULL" and not set(value) & set('",{}\\ '):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _cast(trap: _Trap) -> str:
    """A parameter that is rounded."""
    table, column = trap.with_column(lambda column: column.kind.name in ("int2", "int4", "int8"))
    value = f"{trap.value()}.{trap.chance.pick(('4', '0', '1'))}"
    trap.parameters.append(Parameter(trap.chance.pick(("numeric", "numeric", "")), False, value.encode()))
    cast = trap.chance.pick(("int", "int8", "numeric(3,0)", "numeric"))
    again = trap.maybe(f" AND (true = false OR ({column.sql} = $1) OR true)")
    return f"SELECT {trap.chance.pick(table.columns).sql} FROM {table.name} WHERE {column.sql} = $1::{cast}{again}"


def _twice(trap: _Trap) -> str:
    """A parameter whose type another use decides."""
    if trap.chance.one_in(2):
        table, column = trap.with_column(lambda column: column.kind.name == "numeric")
        trap.parameters.append(Parameter("", True, pack(">q", int(trap.value()))))
        return f"SELECT {trap.chance.pick(table.columns).sql}, $1::int8 AS p FROM {table.name} WHERE {column.sql} = $1"
    table, column = trap.with_column(lambda column: column.kind.name == "bpchar")
    texts = [other for other in table.columns if other.kind.name in ("text", "varchar")]
    other = trap.chance.pick(texts) if texts else column
    trap.parameters.append(Parameter("", False, trap.chance.pick((b"a", b"a ", b"b "))))
    return (
        f"SELECT {trap.chance.pick(table.columns).sql} FROM {table.name} WHERE {column.sql} = $1 AND {other.sql} = $1"
    )


def _either(trap: _Trap) -> str:
    """One of several conditions on a table, perhaps through what it is joined to."""
    x, y = trap.table("x"), trap.table("y")
    one = trap.chance.pick(("x", "x", "y"))
    parts = [f"{trap.number(one)} {trap.chance.pick('==<')} {trap.value()}" for _ in range(trap.chance.between(2, 3))]
    if trap.chance.one_in(4):
        parts[-1] = f"{trap.number('x')} = {trap.value()} AND {trap.number('y')} = {trap.value()}"
    either = " OR ".join(parts)
    if trap.chance.one_in(3):
        return f"SELECT {trap.number('x')} FROM {x} WHERE {either.replace('y.', 'x.') if one == 'x' else 'true'}"
    join = trap.chance.pick(("JOIN", "LEFT JOIN", "RIGHT JOIN"))
    what = trap.chance.pick(("count(*)", trap.number("x"), trap.number("y")))
    return f"SELECT {what} FROM {x} {join} {y} ON {trap.number('x')} = {trap.number('y')} WHERE {either}"


def _shown(trap: _Trap) -> str:
    """An answer that shows the keys of its rows, whose old values an update does not tell."""
    table, column = trap.with_column(
        lambda column: column.kind.is_number and column.name not in ("id", "id2") and not column.generated,
        lambda table: table.identity == "default" and bool(table.key),
    )
    name, by = table.name, column.sql
    key = ", ".join(f"x.{part}" for part in table.key)
    other = trap.chance.pick(table.columns).sql
    what = trap.chance.pick((key, f"x.{other}, {key}", "*", "x.*", f"{key} AS k, x.{other} AS o"))
    holds = trap.chance.pick((f"x.{by} = {trap.value()}", f"x.{by} = {trap.value()}", f"x.{by} < {trap.value()}"))
    hides = trap.maybe(f" AND x.{other} IS {trap.maybe('NOT ')}NULL")
    y = trap.table("y")
    match trap.chance.between(0, 6):
        case 0:
            return f"SELECT {what} FROM {name} x WHERE {holds}{hides}"
        case 1:
            tail = trap.chance.pick((" LIMIT 1", " OFFSET 1", " LIMIT 1 OFFSET 1", " LIMIT 1 OFFSET 0"))
            return f"SELECT {what} FROM {name} x WHERE {holds}{hides} ORDER BY {key}{tail}"
        case 2:
            over = trap.chance.pick(("count(*) OVER ()", f"count(*) OVER (ORDER BY {key} DESC)", "1"))
            return f"SELECT {key}, {over} AS n FROM {name} x WHERE {holds} ORDER BY {key} LIMIT 1"
        case 3:
            on = f"{trap.number('y')} = x.{by} AND {holds}"
            return f"SELECT {key}, {trap.number('y')} AS n FROM {y} LEFT JOIN {name} x ON {on} WHERE x.{other} IS NULL"
        case 4:
            join = trap.chance.pick(("JOIN", "LEFT JOIN", "RIGHT JOIN"))
            on = f"{trap.number('y')} = x.{by}"
            return f"SELECT {key}, {trap.number('y')} AS n FROM {name} x {join} {y} ON {on} WHERE {holds}"
        case 5:
            twin = ", ".join(f"y.{part}" for part in table.key)
            return f"SELECT {twin} FROM {name} x JOIN {name} y ON y.{other} = x.{other} WHERE {holds}"
        case _:
            having = trap.maybe(" HAVING count(*) < 2")
            return f"SELECT {key}, count(*) AS n FROM {name} x JOIN {y} ON true WHERE {holds} GROUP BY {key}{having}"


def _page(trap: _Trap) -> str:
    """The first rows of an order, of some or all rows of a table."""
    table, column = trap.with_column(
        lambda column: column.kind.family in ("numbers", "moments") and not column.generated,
        lambda table: bool(table.key),
    )
    trap._columns["x"] = [other for other in table.columns if other.kind.is_number] or [column]
    direction = trap.chance.pick(("", "", " DESC", " DESC NULLS LAST", " NULLS FIRST", " ASC"))
    by = trap.chance.pick((column.sql, f"x.{column.sql}"))
    where = trap.maybe(f" WHERE x.{trap.chance.pick(trap._columns['x']).sql} {trap.chance.pick('==>')} {trap.value()}")
    if not trap._columns["x"][0].kind.is_number:
        where = ""
    also = f", x.{trap.chance.pick(table.columns).sql}"
    what = trap.chance.pick(("*", f"x.{column.sql}{also} AS o", f"x.{column.sql} AS o{also} AS p", f"x.{column.sql}"))
    limit = trap.chance.pick(("1", "2", "2", "3"))
    if trap.chance.one_in(4):
        trap.parameters.append(Parameter(trap.chance.pick(("", "int8")), False, limit.encode()))
        limit = "$1"
    tail = trap.chance.pick((f"LIMIT {limit}", f"LIMIT {limit}", f"LIMIT {limit}", f"LIMIT {limit} OFFSET 1"))
    distinct = "DISTINCT " if trap.chance.one_in(12) and what != "*" else ""
    return f"SELECT {distinct}{what} FROM {table.name} x{where} ORDER BY {by}{direction} {tail}"


def _shown_long(trap: _Trap) -> str:
    """The same, where what it is held equal to is not sent as long as it stays what it is."""
    table, column = trap.with_column(
        lambda column: column.kind is TEXT and not column.generated,
        lambda table: table.identity == "default" and bool(table.key),
    )
    key, other = ", ".join(table.key), trap.chance.pick(table.columns).sql
    value = quoted(column.kind.values[-1])
    return f"SELECT {key} FROM {table.name} WHERE {column.sql} = {value} AND {other} IS {trap.maybe('NOT ')}NULL"


def _row(trap: _Trap) -> str:
    """A row as a value."""
    x = trap.table("x")
    what = trap.chance.pick(
        ("x::text", "to_jsonb(x)::text", "row_to_json(x.*)::text", "(x IS NULL)", "ROW(x, 1)::text")
    )
    where = trap.maybe(f" WHERE {trap.number('x')} = {trap.value()}")
    return f"SELECT {what} FROM {x}{where}"


def _named_join(trap: _Trap) -> str:
    """A column that only goes by the name that a join gives it."""
    table, column = trap.with_column(lambda _: True, lambda table: table.identity == "full")
    y = trap.table("y")
    names = ", ".join(f"j{number}" for number in range(len(table.columns)))
    chosen = f"j{table.columns.index(column)}"
    return f"SELECT j.{chosen} FROM ({table.name} x CROSS JOIN {y}) AS j ({names})"


_TRAPS: tuple[Callable[[_Trap], str], ...] = (
    _two, _two, _three, _three, _hidden_name, _hidden_name, _not_in, _not_in, _over_nothing, _correlated, _ordered,
    _unselected_group, _named_cte, _distinct_exists, _distinct_exists, _distinct_exists, _long, _long, _array, _cast,
    _twice, _shown, _shown, _shown, _shown_long, _either, _either, _page,
    _page, _page, _row, _named_join,
)  # fmt: skip
