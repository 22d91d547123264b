"""How many rows does a statement skip, and how many does it give? Where LIMIT and OFFSET are its last words. Pure."""

from typing import NamedTuple

from sqlglot import exp

from services.proxy.sql.claims import ValueRef, value_of
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import Token, TokenKind, at

_WORDS = ("limit", "offset")


class RowLimits(NamedTuple):
    """Where the numbers come from; None for a clause that is not there."""

    limit: ValueRef | None = None
    offset: ValueRef | None = None


def row_limits(statement: Statement) -> RowLimits | None:
    """Return what a statement's LIMIT and OFFSET are; None where tree and tokens do not plainly say the same."""
    found: dict[str, ValueRef] = {}
    select = statement.tree
    if not isinstance(select, exp.Select):
        return None
    end = len(statement.tokens)
    while at(statement.tokens, end - 2).is_word(*_WORDS):
        word = statement.tokens[end - 2].text
        value = _tree_value(select, word)
        if value is None or not _is_value(statement.tokens[end - 1], value):
            return None
        found[word] = value
        end -= 2
    used = sum(token.is_word(*_WORDS) for token in statement.tokens)
    return RowLimits(found.get("limit"), found.get("offset")) if used == len(found) else None


def _tree_value(select: exp.Select, word: str) -> ValueRef | None:
    clause = select.args.get(word)
    return value_of(clause.expression) if isinstance(clause, exp.Limit | exp.Offset) else None


def _is_value(token: Token, value: ValueRef) -> bool:
    if value.kind == "parameter":
        return token.kind is TokenKind.PARAMETER and token.number - 1 == value.number
    return token.kind is TokenKind.LITERAL and token.number == value.number
