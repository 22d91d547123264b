"""What would make an answer depend on less: another replica identity, a plainer condition, fewer columns. Pure.

What an identity would do is not guessed: the statement is analysed once more with a catalog in which the tables have
it, and the two are compared.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from services.proxy.explain.unused import unused_conditions
from services.proxy.sql.snapshot import Catalog, Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.tag_rules import TagRule
from services.proxy.sql.value_sources import ParameterSource, ValueSource

FULL_IDENTITY = "f"
_NAMED_STATEMENTS = 3
_UNDECLARED = 0

Indexes = Mapping[int, Sequence[tuple[str, frozenset[str]]]]
"""By table the indexes that could be its replica identity, the narrowest first: name as SQL, and columns."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place where a statement reads a table.

    Attributes:
        statement: The statement.
        occurrence: Which of its occurrences; None: inside a view.
        rule: What its answers depend on there.
        with_full: The same if changes told all of the old row.
        relation: The table.
    """

    statement: Statement
    occurrence: int | None
    rule: TagRule
    with_full: TagRule
    relation: Relation

    @property
    def held(self) -> tuple[str, ...]:
        """Columns of which a row's values decide whether it matters."""
        return decisive(self.rule)

    @property
    def sources(self) -> tuple[tuple[ValueSource, ...], ...]:
        """Where the values come from that each of these is compared with."""
        bounds = (*self.rule.bounds.low, *self.rule.bounds.high)
        return (*self.rule.sources, bounds)


def with_full_identity(catalog: Catalog) -> Catalog:
    """Return the catalog as it would be with REPLICA IDENTITY FULL for all tables."""
    relations = {
        name: replace(
            relation,
            identity=FULL_IDENTITY,
            identity_columns=frozenset(column.name for column in relation.columns),
        )
        if relation.kind in ("r", "p") and relation.identity_columns
        else relation
        for name, relation in catalog.relations.items()
    }
    return replace(catalog, relations=relations, read_views={})


def tables_of(relation: Relation, catalog: Catalog) -> list[Relation]:
    """Return the tables in which the rows of one are, whose identities count: its parts, and itself if it has rows."""
    own = [] if relation.kind == "p" else [relation]
    return [*own, *(catalog.by_oid[part] for part in relation.parts if part in catalog.by_oid)]


def decisive(rule: TagRule) -> tuple[str, ...]:
    """Return the columns of which a row's values decide whether it matters, that by which a page is cut among them."""
    page = () if rule.page is None else (rule.page.column,)
    return tuple(dict.fromkeys(column.name for column in (*rule.shape.named, *page)))


def untold(columns: Collection[str], table: Relation) -> list[str]:
    """Return those columns of which a table's updates and deletes do not tell the old value."""
    if table.identity == FULL_IDENTITY:
        return []
    return [name for name in columns if name not in table.identity_columns]


def either(names: Sequence[str]) -> str:
    """Write names as alternatives."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def narrowing(place: Place, indexes: Indexes) -> Iterator[str]:
    """Give what would help, the most useful first."""
    yield from _declarations(place)
    yield from _identity(place, indexes)
    if place.occurrence is None:
        if not place.held:
            yield "conditions on what a view gives do not count for its tables: select from the tables"
        return
    counted = place.with_full.shape.named
    one_row = bool(place.relation.primary_key) and set(place.relation.primary_key) <= {
        column.name for column in place.with_full.shape.columns
    }
    unused = [] if one_row else unused_conditions(place.statement, place.occurrence, place.with_full.shape)
    yield from unused
    if not counted and not unused:
        yield "a condition that holds a column equal to a value (=, IN, = ANY) or in a range: then only such rows count"
    if not one_row and place.with_full.shape.watched is None and _has_star(place):
        yield "name the columns that you need in place of *, so that an UPDATE of others evicts nothing (with FULL)"


def _declarations(place: Place) -> Iterator[str]:
    for name, sources in zip(place.held, place.sources, strict=False):
        for source in sources:
            if isinstance(source, ParameterSource) and _UNDECLARED not in source.types:
                column = place.relation.column(name)
                kind = f"{column.type_name if column else ''}{'[]' if source.is_array else ''}"
                yield (
                    f"write ${source.index + 1}::{kind}, unless your driver declares that type: without one it is not "
                    f"sure what is compared, and any change of the table evicts"
                )


def _identity(place: Place, indexes: Indexes) -> Iterator[str]:
    """Say which identity would help, and how."""
    catalog, held = place.statement.catalog, place.held
    tables = [table for table in tables_of(place.relation, catalog) if table.identity != FULL_IDENTITY]
    missing = list(dict.fromkeys(name for table in tables for name in untold(held, table)))
    if place.rule.key is not None:
        missing = []  # the rows that it shows are known by their keys
    gains = list(_gains(place, missing))
    if not gains or not (tables or place.relation.identity != FULL_IDENTITY):
        return
    index = _index(place, tables, indexes) if missing else ""
    if index:
        yield f"ALTER TABLE {_sql(tables[0])} REPLICA IDENTITY USING INDEX {index}: {_told(missing)}"
        return
    whole = [place.relation] if place.relation.kind == "p" and place.relation.identity != FULL_IDENTITY else []
    altered = [*tables, *whole]
    statements = "; ".join(f"ALTER TABLE {_sql(table)} REPLICA IDENTITY FULL" for table in altered[:_NAMED_STATEMENTS])
    more = f" and {len(altered) - _NAMED_STATEMENTS} more" if len(altered) > _NAMED_STATEMENTS else ""
    yield f"{statements}{more} (more WAL, which tidegate check measures): {', and '.join(gains)}"
    if missing and len(tables) == 1:
        columns = ", ".join(dict.fromkeys((*held, *sorted(tables[0].identity_columns))))
        yield f"or, with less WAL, a unique index on ({columns}), all NOT NULL, as REPLICA IDENTITY USING INDEX"


def _gains(place: Place, missing: Sequence[str]) -> Iterator[str]:
    if missing:
        yield _told(missing)
    now, then = place.rule.shape, place.with_full.shape
    if more := [column.name for column in then.named if column not in now.named]:
        yield f"the condition on {' and '.join(more)} then counts too"
    if then.watched is not None and now.watched is None:
        yield f"an UPDATE then has to touch {either(then.watched)}" if then.watched else "no UPDATE then matters"


def _told(missing: Sequence[str]) -> str:
    return f"changes then tell the old {' and '.join(missing)}"


def _index(place: Place, tables: Sequence[Relation], indexes: Indexes) -> str:
    if len(tables) != 1:
        return ""
    needed = {*place.held, *tables[0].identity_columns}
    return next((name for name, columns in indexes.get(tables[0].oid, ()) if needed <= columns), "")


def _has_star(place: Place) -> bool:
    tree = place.statement.tree
    return tree is not None and any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star))


def _sql(table: Relation) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _quoted(name: str) -> str:
    plain = name.isascii() and name.islower() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'
