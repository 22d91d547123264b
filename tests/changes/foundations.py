"""The tables that a history begins with, one function for each way in which a table can be followed or not.

`tidegate` follows a table by what identifies its old rows, and by what it is to other tables; so each of these makes
tables of one sort, a few of which meet in a history.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.changes.model import Column, Kind, Model, Table
from tests.changes.values import KEY_TEXT, LONG_TYPE, TYPES, sql_type
from tests.wire.chance import Chance

BEGINNING = (
    "CREATE SCHEMA s1",
    "CREATE SCHEMA s2",
    "CREATE TYPE s1.mood AS ENUM ('sad', 'so so', 'happy')",
    "CREATE DOMAIN s1.positive AS int CHECK (VALUE > 0)",
    "GRANT USAGE ON SCHEMA s1, s2 TO reader",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA s1, s2 GRANT SELECT ON TABLES TO reader",
)
"""What every history needs. The role `reader` is made beforehand."""

_ROWS = 12  # of a table at the beginning
_ID_TYPES = ("int", "int", "int", "bigint", "numeric", "float8")
_LONG_VALUE = (  # of every other row: stored outside of it, even if it is compressed
    "CASE WHEN i % 2 = 0 THEN (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 150) j) END"
)
_ORDINARY = [name for name in TYPES if not name.startswith("s1.")]


@dataclass
class Foundation:
    """What is being made.

    Attributes:
        chance: Where choices come from.
        setup: Statements so far.
        later: Statements for the end.
        id_type: Type of the column `id`. Numbers that are equal may be different texts: 1 and 1.0, 0 and -0.
        model: Tables so far.
    """

    chance: Chance
    setup: list[str] = field(default_factory=lambda: [*BEGINNING])
    later: list[str] = field(default_factory=list)
    id_type: str = "int"
    model: Model = field(default_factory=Model)
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1000)))

    def columns(self) -> tuple[Column, ...]:
        """Choose some columns; most tables have a text and a number, which reads look for."""
        extra = [self.chance.pick(_ORDINARY) for _ in range(self.chance.between(0, 3))]
        if self.chance.one_in(4):
            extra.append(self.chance.pick(("s1.mood", "s1.positive")))
        if self.chance.one_in(2):
            extra.append(LONG_TYPE)
        more = tuple(Column(f"c{number}", name) for number, name in enumerate(extra, 1))
        return (Column("v", "text"), Column("n", "int"), *more)

    def add(
        self,
        columns: tuple[Column, ...],
        definition: str = "",
        *,
        key: tuple[str, ...] = ("id",),
        kind: Kind = Kind.PLAIN,
        under: Table | None = None,
    ) -> Table:
        """Add a table; `definition` is all of its statement behind its name, made of its columns if not given."""
        number = next(self._numbers)
        schema = "s2" if self.chance.one_in(5) else "s1"
        table = Table(number, schema, f"t{number}", columns, key, kind, under.number if under else None)
        self.setup.append(f"CREATE TABLE {table.named} {definition or f'({self.written(columns)})'}")
        self.model = self.model.put([table])
        return table

    def written(self, columns: tuple[Column, ...], *constraints: str, part: bool = False) -> str:
        """Return what stands in the parentheses of CREATE TABLE."""
        first = [f"id {self.id_type} NOT NULL", *(["part int NOT NULL"] if part else [])]
        return ", ".join([*first, *(f"{one.name} {sql_type(one.type)}" for one in columns), *constraints])


def found(chance: Chance) -> Foundation:
    """Make a beginning: three to five sorts of tables, with a few rows each."""
    foundation = Foundation(chance)
    for sort in (_with_key, *(chance.pick(_SORTS) for _ in range(chance.between(2, 4)))):
        foundation.id_type = chance.pick(_ID_TYPES)
        sort(foundation)
    for table in foundation.model.of(Kind.PLAIN, Kind.ROOT, Kind.PARENT, Kind.CHILD):
        _fill(foundation, table)
    foundation.setup += foundation.later
    return foundation


def _fill(foundation: Foundation, table: Table) -> None:
    values = ["i", *(["i * 7 % 20"] if table.has_part else []), "'row ' || i % 3", "i % 3"]
    long = [one.name for one in table.columns if one.type == LONG_TYPE]
    values += [_LONG_VALUE] * len(long)
    names = ", ".join((*table.fixed, "v", "n", *long))
    start = 500 * (table.kind is Kind.CHILD)  # children's rows show in their parents
    foundation.setup.append(
        f"INSERT INTO {table.named} ({names}) SELECT {', '.join(values)}"
        f" FROM generate_series({start + 1}, {start + _ROWS}) i"
    )


def _with_key(foundation: Foundation) -> None:
    columns = foundation.columns()
    more = ["PRIMARY KEY (id)"]
    if foundation.chance.one_in(3):
        more.insert(0, "doubled int GENERATED ALWAYS AS (n * 2) STORED")
    foundation.add(columns, f"({foundation.written(columns, *more)})")


def _with_several_key_columns(foundation: Foundation) -> None:
    columns = (*foundation.columns(), Column("w", KEY_TEXT))
    table = foundation.add(columns, f"({foundation.written(columns, 'PRIMARY KEY (w, id)')})", key=("w", "id"))
    foundation.setup.append(f"ALTER TABLE {table.named} ALTER COLUMN w SET DEFAULT 'a'")


def _by_index(foundation: Foundation) -> None:
    columns = foundation.columns()
    table = foundation.add(columns)
    foundation.setup += [
        f"CREATE UNIQUE INDEX {table.name}_identity ON {table.named} (id)",
        f"ALTER TABLE {table.named} REPLICA IDENTITY USING INDEX {table.name}_identity",
    ]


def _full(foundation: Foundation) -> None:
    key = foundation.chance.one_in(2)
    columns = foundation.columns()
    constraints = ["PRIMARY KEY (id)"] if key else []
    table = foundation.add(columns, f"({foundation.written(columns, *constraints)})", key=("id",) if key else ())
    foundation.setup.append(f"ALTER TABLE {table.named} REPLICA IDENTITY FULL")


def _without_identity(foundation: Foundation) -> None:
    columns = foundation.columns()
    if foundation.chance.one_in(2):
        foundation.add(columns, key=())
        return
    table = foundation.add(columns, f"({foundation.written(columns, 'PRIMARY KEY (id)')})")
    foundation.setup.append(f"ALTER TABLE {table.named} REPLICA IDENTITY NOTHING")


def _partitioned(foundation: Foundation) -> None:
    """A root over a leaf, a branch of two leaves, a leaf whose columns are in another order, and a default."""
    columns = foundation.columns()
    whole = foundation.written(columns, "PRIMARY KEY (id, part)", part=True)
    key = ("id", "part")
    root = foundation.add(columns, f"({whole}) PARTITION BY RANGE (part)", key=key, kind=Kind.ROOT)

    def part(bounds: str, kind: Kind = Kind.LEAF, under: Table = root) -> Table:
        return foundation.add(columns, f"PARTITION OF {under.named} {bounds}", key=key, kind=kind, under=under)

    part("FOR VALUES FROM (0) TO (10)")
    branch = part("FOR VALUES FROM (10) TO (20) PARTITION BY HASH (id)", Kind.BRANCH)
    part("FOR VALUES WITH (MODULUS 2, REMAINDER 0)", under=branch)
    part("FOR VALUES WITH (MODULUS 2, REMAINDER 1)", under=branch)
    if foundation.chance.one_in(2):
        other = [*(f"{one.name} {sql_type(one.type)}" for one in reversed(columns)), "gone int"]
        definition = (
            f"({', '.join(other)}, part int NOT NULL, id {foundation.id_type} NOT NULL, PRIMARY KEY (id, part))"
        )
        leaf = foundation.add(columns, definition, key=key, kind=Kind.LEAF, under=root)
        foundation.setup += [
            f"ALTER TABLE {leaf.named} DROP COLUMN gone",
            f"ALTER TABLE {root.named} ATTACH PARTITION {leaf.named} FOR VALUES FROM (20) TO (30)",
        ]
    if foundation.chance.one_in(2):
        part("DEFAULT")


def _inherited(foundation: Foundation) -> None:
    columns = foundation.columns()
    whole = f"({foundation.written(columns, 'PRIMARY KEY (id)')})"
    parent = foundation.add(columns, whole, kind=Kind.PARENT)
    child = foundation.add(columns, f"(PRIMARY KEY (id)) INHERITS ({parent.named})", kind=Kind.CHILD, under=parent)
    if foundation.chance.one_in(2):
        foundation.add(columns, f"(PRIMARY KEY (id)) INHERITS ({child.named})", kind=Kind.CHILD, under=child)


def _referring(foundation: Foundation) -> None:
    """Tables that follow another one's rows: by CASCADE, by SET NULL."""
    columns = foundation.columns()
    first = foundation.add(columns, f"({foundation.written(columns, 'PRIMARY KEY (id)')})")
    for action in ("CASCADE", "SET NULL"):
        reference = f"ref int REFERENCES {first.named} ON DELETE {action} ON UPDATE {action}"
        table = foundation.add(columns, f"({foundation.written(columns, reference, 'PRIMARY KEY (id)')})")
        foundation.later.append(
            f"INSERT INTO {table.named} (id, ref, v) SELECT i + 100, i, 'refers' FROM generate_series(1, 4) i"
        )


def _with_trigger(foundation: Foundation) -> None:
    """A table whose changes are noted in another one, and whose rows a trigger alters on their way in."""
    columns = foundation.columns()
    watched = foundation.add(columns, f"({foundation.written(columns, 'PRIMARY KEY (id)')})")
    notes = foundation.add((Column("v", "text"), Column("n", "int")), "(id serial PRIMARY KEY, v text, n int)")
    note, alter = f"s1.note_{watched.number}", f"s1.alter_{watched.number}"
    function = "LANGUAGE plpgsql AS"
    foundation.setup += [
        f"CREATE FUNCTION {note}() RETURNS trigger {function} $$ BEGIN"
        f" INSERT INTO {notes.named} (v, n) VALUES (tg_op, 1); RETURN NULL; END $$",
        f"CREATE FUNCTION {alter}() RETURNS trigger {function} $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$",
        f"CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON {watched.named} EXECUTE FUNCTION {note}()",
        f"CREATE TRIGGER alter BEFORE INSERT OR UPDATE ON {watched.named} FOR EACH ROW EXECUTE FUNCTION {alter}()",
    ]


def _unlogged(foundation: Foundation) -> None:
    columns = foundation.columns()
    foundation.add(columns, f"({foundation.written(columns, 'PRIMARY KEY (id)')})")
    foundation.setup[-1] = foundation.setup[-1].replace("CREATE TABLE", "CREATE UNLOGGED TABLE")


_SORTS: tuple[Callable[[Foundation], None], ...] = (
    _with_key,
    _with_several_key_columns,
    _by_index,
    _full,
    _full,
    _without_identity,
    _partitioned,
    _partitioned,
    _inherited,
    _referring,
    _with_trigger,
    _unlogged,
)
