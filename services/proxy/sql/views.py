"""What a view reads: its definition, read as a statement of its own. Pure.

A statement that reads a view reads what the view's definition reads, and may be cached if that could be. Definitions
are read when a view is first met, and again after every change of the catalog. They name everything with its schema.
No view reads itself: Postgres sees to that.
"""

from collections.abc import Callable

from services.proxy.sql.inputs import relative_time_literal
from services.proxy.sql.lexer import LexError
from services.proxy.sql.reasons import Reason
from services.proxy.sql.snapshot import CATALOG_SCHEMA, Catalog
from services.proxy.sql.statement import NameSpace, Statement, read_statement
from services.proxy.sql.template import lex
from services.proxy.sql.tokens import TokenError

_DEFINED_IN = NameSpace((CATALOG_SCHEMA,))
_NOT_UNDERSTOOD = (Reason.LEX_ERROR, Reason.PARSE_ERROR, Reason.UNSUPPORTED_SYNTAX, Reason.UNKNOWN_COLUMN)


def refusal_of_view(catalog: Catalog, oid: int, refuse: Callable[[Statement], Reason | None]) -> Reason | None:
    """Return why what a view reads cannot be cached; None when it can.

    Args:
        catalog: The catalog.
        oid: The view.
        refuse: The rules for statements.
    """
    definition = _definition(catalog, oid)
    if definition is None:
        return Reason.VIEW
    if relative_time_literal(definition.lexed):
        return Reason.RELATIVE_TIME_INPUT
    reason = refuse(definition)
    if reason is Reason.NO_RELATION:
        return None  # it is constant
    return Reason.VIEW if reason in _NOT_UNDERSTOOD else reason


def tables_of_view(catalog: Catalog, oid: int) -> tuple[int, ...]:
    """Return the OIDs of the tables that a view reads, directly or through other views, each once."""
    definition = _definition(catalog, oid)
    return () if definition is None else tables_read(definition)


def tables_read(statement: Statement) -> tuple[int, ...]:
    """Return the OIDs of the tables that a statement reads, directly or through views, each once."""
    found: dict[int, None] = {}
    for relation in statement.relations:
        if relation is not None and relation.kind == "v":
            found.update(dict.fromkeys(tables_of_view(statement.catalog, relation.oid)))
        elif relation is not None:
            found[relation.oid] = None
    return tuple(found)


def views_in(statement: Statement) -> tuple[int, ...]:
    """Return the OIDs of all views that a statement reads, those in their definitions among them."""
    found: dict[int, None] = {}
    for relation in statement.relations:
        if relation is not None and relation.kind == "v":
            found[relation.oid] = None
            definition = _definition(statement.catalog, relation.oid)
            found.update(dict.fromkeys(views_in(definition) if definition is not None else ()))
    return tuple(found)


def _definition(catalog: Catalog, oid: int) -> Statement | None:
    """Return a view's definition as a statement; None where it cannot be read."""
    known: dict[int, Statement | None] = catalog.read_views
    if oid not in known:
        known[oid] = _read(catalog, catalog.views[oid]) if oid in catalog.views else None
    return known[oid]


def _read(catalog: Catalog, text: str) -> Statement | None:
    try:
        return read_statement(lex(text), catalog, _DEFINED_IN)
    except (LexError, TokenError):
        return None
