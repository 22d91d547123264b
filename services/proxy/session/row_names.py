"""Which rows does this very statement write, or rest on? What its template's rules say, with its values. Pure."""

from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from services.proxy.cache.named_rows import NamedRows
from services.proxy.session.answer_tags import held_values
from services.proxy.session.requests import Request
from services.proxy.session.templates import Template
from services.proxy.sql.template import Lexed
from services.proxy.sql.verdict import TagRule

if TYPE_CHECKING:
    from services.proxy.session.planning import Plan  # which asks for the rows that are written

_MOST_ROWS = 16  # that one statement names; of more, it counts as writing or reading any


def rows_written(template: Template, catalog: int, request: Request) -> NamedRows | None:
    """Return the rows that a statement writes; None where they may be any.

    Args:
        template: Its analysis.
        catalog: Number of the reading of the catalog that this rests on.
        request: Its values.
    """
    written = template.analysis.effect.rows
    if written is None:
        return None
    lexed = template.lexed
    if written.first_literal:
        lexed = replace(lexed, literals=lexed.literals[written.first_literal :])
    return _named(written.rule, catalog, lexed, request)


def rows_read(plan: "Plan", relation: int) -> list[NamedRows] | None:
    """Return the rows of a relation that the answer to a read rests on; None where they may be any."""
    found: list[NamedRows] = []
    template, request = plan.template, plan.request
    if template is None or request is None:
        return None
    for rule in template.analysis.tag_rules:
        if rule.shape.relation == relation:
            named = _named(rule, plan.catalog, template.lexed, request)
            if named is None:
                return None
            found.append(named)
    return found


def looked_at(plan: "Plan") -> tuple[NamedRows, ...] | None:
    """Return all rows that the answer to a read rests on; None where they may be any."""
    found: list[NamedRows] = []
    for relation in plan.relations:
        rows = rows_read(plan, relation)
        if rows is None:
            return None
        found += rows
    return tuple(found)


def _named(rule: TagRule, catalog: int, lexed: Lexed, request: Request) -> NamedRows | None:
    shape = rule.shape
    if not shape.columns:
        return None
    columns = held_values(rule, lexed, request)
    if columns is None or prod(map(len, columns)) > _MOST_ROWS:
        return None
    return NamedRows(shape.relation, catalog, shape.columns, frozenset(product(*columns)))
