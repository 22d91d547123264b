"""What in a statement is the reason that it is forwarded: the function, the table, the column. Pure.

The rules name a reason and no more, for nobody but a person asks. Rules on tokens are asked again with ever more of the
statement: what is last when they first object is what they object to. Rules on relations and columns are asked one by
one. Where none of this tells, nothing is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sqlglot import exp

from services.proxy.sql.builtin_types import PLAIN_TYPES
from services.proxy.sql.call_rules import allowed_functions
from services.proxy.sql.cast_rules import allowed_casts
from services.proxy.sql.grammar import is_allowed
from services.proxy.sql.lexer import LexError
from services.proxy.sql.operator_rules import allowed_operators
from services.proxy.sql.reasons import Reason
from services.proxy.sql.relation_rules import relation_refusal
from services.proxy.sql.rules import no_telling_words, refusal_but_for_policies
from services.proxy.sql.snapshot import CATALOG_SCHEMA, Relation
from services.proxy.sql.statement import NameSpace, Statement, read_statement
from services.proxy.sql.template import lex
from services.proxy.sql.tokens import TokenError, TokenKind
from services.proxy.sql.views import refusal_of_view

_DEFINED_IN = NameSpace((CATALOG_SCHEMA,))
_TOKEN_RULES = (no_telling_words, allowed_functions, allowed_operators, allowed_casts)


def culprit(statement: Statement, reason: Reason) -> str:
    """Return what the reason is about, as a person would name it; empty where that cannot be told."""
    return next((found for find in _FINDERS for found in find(statement, reason) if found), "")


def _in_relations(statement: Statement, reason: Reason) -> Iterator[str]:
    for occurrence, relation in zip(statement.occurrences, statement.relations, strict=True):
        if relation is None:
            if reason is Reason.UNKNOWN_RELATION:
                yield ".".join(filter(None, (occurrence.schema, occurrence.name)))
        elif relation_refusal(relation, only=occurrence.only) is reason:
            yield _called(relation)


def _in_tokens(statement: Statement, reason: Reason) -> Iterator[str]:
    for rule in _TOKEN_RULES:
        if rule(statement) is not reason:
            continue
        for count in range(1, len(statement.tokens) + 1):
            if rule(replace(statement, tokens=statement.tokens[:count])) is reason:
                *before, last = statement.tokens[:count]
                named = before[-1] if last.is_mark("(") and before else last
                yield named.text if named.is_name or named.kind is TokenKind.OPERATOR else ""
                break


def _in_columns(statement: Statement, reason: Reason) -> Iterator[str]:
    if reason not in (Reason.USER_TYPE, Reason.UNSUPPORTED_TYPE):
        return
    named = {token.text for token in statement.tokens if token.is_name}
    known = [relation for relation in statement.relations if relation is not None]
    columns = [(relation, column) for relation in known for column in relation.columns]
    for relation, column in sorted(columns, key=lambda found: found[1].name not in named):
        plain = column.type_name == "enum" or column.type_name in PLAIN_TYPES
        if column.user_type if reason is Reason.USER_TYPE else not plain:
            yield f"{_called(relation)}.{column.name} of type {column.type_name}"


def _in_tree(statement: Statement, reason: Reason) -> Iterator[str]:
    if reason is Reason.UNSUPPORTED_SYNTAX and statement.tree is not None:
        yield from (node.key.upper() for node in statement.tree.walk() if not is_allowed(node))
    if reason is Reason.UNKNOWN_COLUMN and statement.tree is not None:
        known = {
            (occurrence.alias, column.name)
            for occurrence, relation in zip(statement.occurrences, statement.relations, strict=True)
            for column in (relation.columns if relation is not None else ())
        }
        for column in statement.tree.find_all(exp.Column):
            if column.table and (column.table, column.name) not in known:
                yield f"{column.table}.{column.name}"


def _in_views(statement: Statement, reason: Reason) -> Iterator[str]:
    """Name the view, and what it is in its definition."""
    for relation in statement.relations:
        if relation is None or relation.kind != "v":
            continue
        if refusal_of_view(statement.catalog, relation.oid, refusal_but_for_policies) is not reason:
            continue
        inner = ""
        try:
            definition = read_statement(
                lex(statement.catalog.views.get(relation.oid, "")), statement.catalog, _DEFINED_IN
            )
            refusal = refusal_but_for_policies(definition)
            inner = culprit(definition, refusal) if refusal is not None else ""
        except (LexError, TokenError):
            pass  # that it cannot be read is the reason
        yield f"{inner} in the view {_called(relation)}" if inner else f"the view {_called(relation)}"


def _called(relation: Relation) -> str:
    return f"{relation.schema}.{relation.name}"


_FINDERS: tuple[Callable[[Statement, Reason], Iterator[str]], ...] = (
    _in_views,
    _in_relations,
    _in_tokens,
    _in_columns,
    _in_tree,
)
