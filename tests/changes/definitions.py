"""Statements that change what tables are, one function for each way of doing so, with what becomes of the model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.changes.model import Column, Kind, Model, Table
from tests.changes.values import LONG_TYPE, TYPES, literal, sql_type, wider_type
from tests.wire.chance import Chance

_STANDING = (Kind.PLAIN, Kind.PARENT, Kind.CHILD, Kind.ROOT, Kind.LEAF)
PUBLICATION = "tidegate_default"
"""What others alter behind our back."""


@dataclass
class Definer:
    """Writes a definition for one connection.

    Attributes:
        chance: Where choices come from.
        model: What its tables look like; becomes what they look like afterwards.
        fresh: Gives a number that was never used.
        touched: Numbers of the tables that were concerned.
    """

    chance: Chance
    model: Model
    fresh: Callable[[], int]
    touched: set[int] = field(default_factory=set)

    def table(self, *kinds: Kind) -> Table | None:
        """Choose a table, and note that it is concerned."""
        found = self.model.of(*kinds)
        if not found:
            return None
        table = self.chance.pick(found)
        self.touched |= self.model.family(table)
        return table

    def put(self, *tables: Table) -> None:
        """Note what tables look like now."""
        self.model = self.model.put(tables)
        self.touched |= {table.number for table in tables}


Definition = Callable[[Definer], Sequence[str]]
"""Returns statements; none if there is no table for them."""


def define(definer: Definer, *, in_block: bool) -> list[str]:
    """Write a definition; some cannot stand in a transaction block."""
    kinds = _ANYWHERE if in_block else _ANYWHERE + _OUTSIDE_OF_BLOCKS
    made = definer.chance.pick_weighted(*((weight, lambda _, kind=kind: kind) for weight, kind in kinds))
    return list(made(definer))


def _columns_of(definer: Definer) -> tuple[Table, str] | None:
    """Choose a table whose columns can be altered, and a column."""
    table = definer.table(Kind.PLAIN, Kind.ROOT, Kind.PARENT)
    if table is None or not table.columns:
        return None
    return table, definer.chance.pick(table.columns).name


def _add_column(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN, Kind.ROOT, Kind.PARENT)
    if table is None:
        return ()
    chance = definer.chance
    column = Column(f"a{definer.fresh()}", chance.pick([*TYPES, LONG_TYPE]))
    definer.model = definer.model.with_columns(table, (*table.columns, column))
    default = chance.pick(("", f" DEFAULT {literal(chance, column.type)}", " DEFAULT NULL"))
    if "SELECT" in default:
        default = ""
    return (f"ALTER TABLE {table.named} ADD COLUMN {column.name} {sql_type(column.type)}{default}",)


def _drop_column(definer: Definer) -> Sequence[str]:
    chosen = _columns_of(definer)
    if chosen is None:
        return ()
    table, name = chosen
    definer.model = definer.model.with_columns(table, tuple(one for one in table.columns if one.name != name))
    return (f"ALTER TABLE {table.named} DROP COLUMN {name} CASCADE",)


def _rename_column(definer: Definer) -> Sequence[str]:
    chosen = _columns_of(definer)
    if chosen is None:
        return ()
    table, name = chosen
    other = f"r{definer.fresh()}"
    columns = tuple(replace(one, name=other) if one.name == name else one for one in table.columns)
    definer.model = definer.model.with_columns(table, columns)
    return (f"ALTER TABLE {table.named} RENAME COLUMN {name} TO {other}",)


def _swap_columns(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN, Kind.ROOT, Kind.PARENT)
    if table is None or len(table.columns) < 2:
        return ()
    one, other = table.columns[:2]
    columns = (replace(one, name=other.name), replace(other, name=one.name), *table.columns[2:])
    definer.model = definer.model.with_columns(table, columns)
    rename = f"ALTER TABLE {table.named} RENAME COLUMN"
    return (f"{rename} {one.name} TO x", f"{rename} {other.name} TO {one.name}", f"{rename} x TO {other.name}")


def _alter_type(definer: Definer) -> Sequence[str]:
    chosen = _columns_of(definer)
    if chosen is None:
        return ()
    table, name = chosen
    column = next(one for one in table.columns if one.name == name)
    found = wider_type(definer.chance, column.type)
    if found is None:
        return ()
    other, using = found
    columns = tuple(replace(one, type=other) if one.name == name else one for one in table.columns)
    definer.model = definer.model.with_columns(table, columns)
    using = using.replace("{column}", name)
    return (f"ALTER TABLE {table.named} ALTER COLUMN {name} TYPE {sql_type(other)} USING {using}",)


def _alter_column(definer: Definer) -> Sequence[str]:
    chosen = _columns_of(definer)
    if chosen is None:
        return ()
    table, name = chosen
    column = next(one for one in table.columns if one.name == name)
    value = literal(definer.chance, column.type)
    what = definer.chance.pick(
        ("SET NOT NULL", "DROP NOT NULL", "DROP DEFAULT", "SET STATISTICS 10", f"SET DEFAULT {value}")
        + (("SET STORAGE EXTERNAL", "SET STORAGE MAIN") if column.type in {"text", LONG_TYPE} else ())
    )
    return () if "SELECT" in what else (f"ALTER TABLE {table.named} ALTER COLUMN {name} {what}",)


def _rename(definer: Definer) -> Sequence[str]:
    table = definer.table()
    if table is None:
        return ()
    renamed = replace(table, name=f"t{definer.fresh() + 100}")
    definer.put(renamed)
    return (f"ALTER TABLE {table.named} RENAME TO {renamed.name}",)


def _swap_names(definer: Definer) -> Sequence[str]:
    """Two tables change places: what reads name is the other one from then on."""
    one = definer.table()
    other = definer.table()
    if one is None or other is None or one.number == other.number or one.schema != other.schema:
        return ()
    definer.put(replace(one, name=other.name), replace(other, name=one.name))
    return (
        f"ALTER TABLE {one.named} RENAME TO swapped",
        f"ALTER TABLE {other.named} RENAME TO {one.name}",
        f"ALTER TABLE {one.schema}.swapped RENAME TO {other.name}",
    )


def _set_schema(definer: Definer) -> Sequence[str]:
    table = definer.table()
    if table is None:
        return ()
    moved = replace(table, schema="s2" if table.schema == "s1" else "s1")
    definer.put(moved)
    return (f"ALTER TABLE {table.named} SET SCHEMA {moved.schema}",)


def _drop(definer: Definer) -> Sequence[str]:
    table = definer.table()
    if table is None:
        return ()
    below = definer.model.all_under(table)
    definer.model = definer.model.without(one.number for one in (table, *below))
    return (f"DROP TABLE {table.named} CASCADE",)


def _make_anew(definer: Definer) -> Sequence[str]:
    """Another table takes the name of one that goes."""
    table = definer.table(Kind.PLAIN)
    if table is None:
        return ()
    new = Table(definer.fresh() + 1_000, table.schema, table.name, (Column("v", "text"), Column("n", "int")))
    definer.model = definer.model.without([table.number])
    definer.put(new)
    rows = f"INSERT INTO {new.named} SELECT i, 'anew', i FROM generate_series(1, 3) i"
    return (
        f"DROP TABLE {table.named} CASCADE",
        f"CREATE TABLE {new.named} (id int PRIMARY KEY, v text, n int)",
        rows,
    )


def _create(definer: Definer) -> Sequence[str]:
    table = Table(definer.fresh() + 1_000, "s1", f"t{definer.fresh() + 100}", (Column("v", "text"), Column("n", "int")))
    definer.put(table)
    return (f"CREATE TABLE {table.named} (id int PRIMARY KEY, v text, n int)",)


def _create_as(definer: Definer) -> Sequence[str]:
    source = definer.table(Kind.PLAIN, Kind.ROOT)
    if source is None:
        return ()
    table = Table(definer.fresh() + 1_000, "s1", f"t{definer.fresh() + 100}", source.columns)
    definer.put(table)
    names = ", ".join(("id", *(one.name for one in source.columns)))
    return (
        f"CREATE TABLE {table.named} AS SELECT DISTINCT ON (id) {names} FROM {source.named} ORDER BY id",
        f"ALTER TABLE {table.named} ADD PRIMARY KEY (id)",
    )


def _primary_key(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN)
    if table is None:
        return ()
    key = f"{table.name}_pkey"
    drop = f"ALTER TABLE {table.named} DROP CONSTRAINT IF EXISTS {key} CASCADE"
    add = f"ALTER TABLE {table.named} ADD CONSTRAINT {key} PRIMARY KEY ({', '.join(table.key or ('id',))})"
    return definer.chance.pick(((drop,), (drop, add), (add,)))


def _replica_identity(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN, Kind.LEAF)
    if table is None:
        return ()
    identity = definer.chance.pick(("DEFAULT", "FULL", "FULL", "NOTHING"))
    return (f"ALTER TABLE {table.named} REPLICA IDENTITY {identity}",)


def _attach(definer: Definer) -> Sequence[str]:
    root = definer.table(Kind.ROOT)
    if root is None:
        return ()
    start = 20 + definer.fresh() % 2 * 10
    number = definer.fresh()
    leaf = Table(number + 1_000, "s1", f"t{number + 100}", root.columns, root.key, Kind.LEAF, root.number)
    definer.put(leaf)
    return (
        f"CREATE TABLE {leaf.named} (LIKE {root.named} INCLUDING ALL)",
        f"INSERT INTO {leaf.named} (id, part) VALUES ({2_000 + number}, {start + 1})",
        f"ALTER TABLE {root.named} ATTACH PARTITION {leaf.named} FOR VALUES FROM ({start}) TO ({start + 10})",
    )


def _detach(definer: Definer) -> Sequence[str]:
    return _detached(definer, "")


def _detach_concurrently(definer: Definer) -> Sequence[str]:
    return _detached(definer, " CONCURRENTLY")


def _detached(definer: Definer, how: str) -> Sequence[str]:
    part = definer.table(Kind.LEAF, Kind.BRANCH)
    above = definer.model.above(part) if part is not None else None
    if part is None or above is None:
        return ()
    definer.put(replace(part, kind=Kind.PLAIN if part.kind is Kind.LEAF else Kind.ROOT, under=None))
    return (f"ALTER TABLE {above.named} DETACH PARTITION {part.named}{how}",)


def _finish_detaching(definer: Definer) -> Sequence[str]:
    """What a concurrent detachment that failed half-way has left pending."""
    root, part = definer.table(Kind.ROOT), definer.table(Kind.PLAIN)
    if root is None or part is None:
        return ()
    return (f"ALTER TABLE {root.named} DETACH PARTITION {part.named} FINALIZE",)


def _inherit(definer: Definer) -> Sequence[str]:
    child = definer.table(Kind.CHILD)
    above = definer.model.above(child) if child is not None else None
    if child is not None and above is not None and definer.chance.one_in(2):
        definer.put(replace(child, kind=Kind.PARENT, under=None))
        return (f"ALTER TABLE {child.named} NO INHERIT {above.named}",)
    parent = definer.table(Kind.PARENT, Kind.CHILD)
    if parent is None:
        return ()
    number = definer.fresh()
    new = Table(number + 1_000, "s1", f"t{number + 100}", parent.columns, kind=Kind.CHILD, under=parent.number)
    definer.put(new)
    create = f"CREATE TABLE {new.named} (LIKE {parent.named} INCLUDING ALL)"
    return (create, f"ALTER TABLE {new.named} INHERIT {parent.named}")


def _logged(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN)
    how = definer.chance.pick(("LOGGED", "LOGGED", "UNLOGGED"))
    return () if table is None else (f"ALTER TABLE {table.named} SET {how}",)


def _triggers(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN)
    how = definer.chance.pick(("DISABLE", "ENABLE"))
    return () if table is None else (f"ALTER TABLE {table.named} {how} TRIGGER USER",)


def _rule(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN)
    if table is None:
        return ()
    name = f"rule{definer.fresh()}"
    made = f"CREATE RULE {name} AS ON DELETE TO {table.named} DO ALSO NOTIFY gone"
    return definer.chance.pick(((made,), (made, f"DROP RULE {name} ON {table.named}")))


def _row_security(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN, Kind.ROOT, Kind.LEAF)
    if table is None:
        return ()
    return definer.chance.pick(
        (
            (f"CREATE POLICY few{definer.fresh()} ON {table.named} USING (id < 3)",),
            (f"ALTER TABLE {table.named} ENABLE ROW LEVEL SECURITY",),
            (f"ALTER TABLE {table.named} DISABLE ROW LEVEL SECURITY",),
        )
    )


def _privileges(definer: Definer) -> Sequence[str]:
    table = definer.table()
    if table is None:
        return ()
    column = f" ({definer.chance.pick(table.columns).name})" if table.columns else ""
    return (
        definer.chance.pick(
            (
                f"GRANT SELECT ON {table.named} TO reader",
                f"REVOKE SELECT ON {table.named} FROM reader",
                f"REVOKE SELECT ON {table.named} FROM reader",
                f"GRANT SELECT{column} ON {table.named} TO reader",
                "REVOKE USAGE ON SCHEMA s2 FROM reader",
                "GRANT USAGE ON SCHEMA s2 TO reader",
            )
        ),
    )


def _view(definer: Definer) -> Sequence[str]:
    table = definer.table()
    if table is None:
        return ()
    return (f"CREATE OR REPLACE VIEW s1.view{definer.fresh() % 3} AS SELECT id FROM {table.named}",)


def _publication(definer: Definer) -> Sequence[str]:
    """Somebody else alters our publication."""
    table = definer.table(*_STANDING)
    if table is None:
        return ()
    alter = f"ALTER PUBLICATION {PUBLICATION}"
    again = f"{alter} ADD TABLE {table.named}"
    out = f"{alter} DROP TABLE {table.named}"
    return definer.chance.pick(
        (
            (out,),
            (out, again),
            (out, f"{again} WHERE (id > 2)"),
            (f"{alter} SET (publish = 'insert')", f"{alter} SET (publish = 'insert, update, delete, truncate')"),
            (f"{alter} SET (publish_via_partition_root = true)", f"{alter} SET (publish_via_partition_root = false)"),
        )
    )


def _comment(definer: Definer) -> Sequence[str]:
    table = definer.table()
    return () if table is None else (f"COMMENT ON TABLE {table.named} IS 'number {definer.fresh()}'",)


def _index(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN, Kind.LEAF)
    return () if table is None else (f"CREATE INDEX ON {table.named} (n)", f"REINDEX TABLE {table.named}")


def _enum_value(definer: Definer) -> Sequence[str]:
    return (f"ALTER TYPE s1.mood RENAME VALUE 'sad' TO 'sad{definer.fresh()}'",)


def _vacuum_full(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN, Kind.LEAF)
    return () if table is None else (definer.chance.pick((f"VACUUM FULL {table.named}", f"VACUUM {table.named}")),)


def _cluster(definer: Definer) -> Sequence[str]:
    table = definer.table(Kind.PLAIN)
    return () if table is None else (f"CLUSTER {table.named} USING {table.name}_pkey",)


def _several(definer: Definer) -> Sequence[str]:
    """Definition upon definition."""
    first, second = (definer.chance.pick((_add_column, _drop_column, _rename_column, _alter_type)) for _ in range(2))
    return (*first(definer), *second(definer))


_ANYWHERE: tuple[tuple[int, Definition], ...] = (
    (6, _add_column),
    (5, _drop_column),
    (4, _rename_column),
    (2, _swap_columns),
    (6, _alter_type),
    (3, _alter_column),
    (3, _rename),
    (3, _swap_names),
    (3, _set_schema),
    (2, _drop),
    (3, _make_anew),
    (2, _create),
    (2, _create_as),
    (4, _primary_key),
    (5, _replica_identity),
    (5, _attach),
    (5, _detach),
    (4, _inherit),
    (3, _logged),
    (2, _triggers),
    (2, _rule),
    (5, _row_security),
    (7, _privileges),
    (1, _view),
    (4, _publication),
    (1, _comment),
    (1, _index),
    (2, _enum_value),
    (2, _cluster),
    (2, _several),
)
_OUTSIDE_OF_BLOCKS: tuple[tuple[int, Definition], ...] = (
    (5, _detach_concurrently),
    (1, _finish_detaching),
    (3, _vacuum_full),
)
