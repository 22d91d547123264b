"""Rules on the relations and columns that a statement reads. Pure."""

from sqlglot import exp

from services.proxy.sql.ageing import NO_AGEING, Ageing
from services.proxy.sql.builtin_types import PLAIN_TYPES
from services.proxy.sql.functions import ALLOWED
from services.proxy.sql.occurrences import call_in_from
from services.proxy.sql.reasons import Reason
from services.proxy.sql.snapshot import CATALOG_SCHEMA, Relation
from services.proxy.sql.statement import Statement
from services.proxy.sql.watched_columns import rows_as_values

_SYSTEM_SCHEMAS = (CATALOG_SCHEMA, "information_schema")


def followed_relations(statement: Statement) -> Reason | None:
    """Every relation is an ordinary or a partitioned table whose changes are published in full, or a view."""
    if not statement.occurrences:
        return Reason.NO_RELATION
    for occurrence, relation in zip(statement.occurrences, statement.relations, strict=True):
        if relation is None:
            return Reason.UNKNOWN_RELATION
        reason = relation_refusal(relation, only=occurrence.only, ageing=statement.ageing)
        if reason is not None:
            return reason
    return None


_KIND_REFUSALS = {
    "m": Reason.MATERIALIZED_VIEW,
    "f": Reason.FOREIGN_TABLE,
    "S": Reason.SEQUENCE,
}


def relation_refusal(relation: Relation, *, only: bool, ageing: frozenset[Ageing] = NO_AGEING) -> Reason | None:
    """Return why answers from a relation cannot be cached; None when they can.

    Args:
        relation: The relation.
        only: Whether they are from it ONLY, and not from its children.
        ageing: What they may age by.
    """
    if relation.schema in _SYSTEM_SCHEMAS:
        return Reason.SYSTEM_CATALOG
    if relation.kind == "v":
        return None  # what its definition reads is looked at by itself
    if relation.kind == "m" and Ageing.REFRESH in ageing:
        return None  # a stored answer: what it was made of does not matter, and its rule is not used to read it
    if relation.kind not in ("r", "p"):
        return _KIND_REFUSALS.get(relation.kind, Reason.NOT_A_TABLE)
    if relation.persistence != "p":
        return Reason.TEMPORARY_OR_UNLOGGED
    if relation.rules:
        return Reason.RULES
    if relation.publication_entry is None:
        return Reason.NOT_PUBLISHED
    if not relation.identity_columns and relation.kind != "p":
        return Reason.NO_REPLICA_IDENTITY
    return None if relation.whole or only else Reason.CHILD_NOT_FOLLOWED


def plain_columns(statement: Statement) -> Reason | None:
    """No column is touched whose type the cache does not know; without a star, only those that are named count."""
    named = {token.text for token in statement.tokens if token.is_name}
    everything = _has_star(statement) or "natural" in statement.words or bool(rows_as_values(statement))
    for relation in statement.relations:
        for column in relation.columns if relation is not None else ():
            if not everything and column.name not in named:
                continue
            if column.user_type:
                return Reason.USER_TYPE
            if column.type_name != "enum" and column.type_name not in PLAIN_TYPES:
                return Reason.UNSUPPORTED_TYPE
    return None


def _has_star(statement: Statement) -> bool:
    if statement.tree is None:
        return True
    stars = statement.tree.find_all(exp.Star)
    return any(not isinstance(star.parent, exp.Count) for star in stars)


def known_columns(statement: Statement) -> Reason | None:
    """`x.name` is a column: else Postgres may call a function of that name with the row."""
    tree = statement.tree
    if tree is None:
        return Reason.PARSE_ERROR
    renamed = {alias.name for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns")}
    for column in tree.find_all(exp.Column):
        if isinstance(column.this, exp.Star) or not column.table:
            continue
        if not _is_column(statement, column.table, column.name, column.table in renamed):
            return Reason.UNKNOWN_COLUMN
    return None


def _is_column(statement: Statement, alias: str, name: str, renamed: bool) -> bool:
    catalog = statement.catalog
    base = [
        relation
        for occurrence, relation in zip(statement.occurrences, statement.relations, strict=True)
        if occurrence.alias == alias
    ]
    calls = [item for item in _calls_in_from(statement) if item.alias == alias]
    derived = _is_derived_too(statement, alias)
    if calls or not (base or derived):
        # A function in FROM, whose row may be a single value of any type: every function can be meant.
        columns = [{column.name for column in item.args["alias"].columns} for item in calls]
        functions = catalog.functions.builtin | catalog.functions.user | catalog.builtin_types
        if name in functions and not (columns and all(name in listed for listed in columns)):
            return False
        if not base and not derived:
            return True
    harmless = name not in catalog.functions.on_rows or (name in ALLOWED and name not in catalog.functions.user)
    if renamed or not base:
        return harmless
    return all(relation is not None and _has_column(relation, name) for relation in base) or (
        harmless and (derived or bool(calls))
    )


def _calls_in_from(statement: Statement) -> list[exp.Expr]:
    """Return the functions in FROM that have an alias."""
    items = statement.tree.find_all(exp.Table, exp.Lateral, exp.Unnest) if statement.tree is not None else ()
    return [item for item in items if item.alias and call_in_from(item) is not None]


def _has_column(relation: Relation, name: str) -> bool:
    return relation.column(name) is not None or (name == "tableoid" and relation.kind != "v")


def _is_derived_too(statement: Statement, alias: str) -> bool:
    """Whether a sub-query, a CTE or a list of values goes by the same name somewhere in the statement."""
    if statement.tree is None:
        return False
    relations = {id(occurrence.node) for occurrence in statement.occurrences}
    items = statement.tree.find_all(exp.Subquery, exp.CTE, exp.Lateral, exp.Values, exp.Table)
    return any(
        item.alias_or_name == alias and id(item) not in relations and call_in_from(item) is None for item in items
    )
