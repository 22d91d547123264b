"""The rules on casts: which types, and of what. Casts are read from the tokens; what is cast, from the tree. Pure."""

from collections.abc import Iterator

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.builtin_types import MOMENT_TYPES, PLAIN_TYPES, REG_TYPES
from services.proxy.sql.casts import CastToken, called_casts, casts, defined_columns
from services.proxy.sql.moments import Texts, cast_to_moments, is_whole
from services.proxy.sql.reasons import Reason
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import at


def no_user_casts(statement: Statement) -> Reason | None:
    """No cast between built-in types was defined in the database: it would work where none is written."""
    return Reason.USER_CAST if statement.catalog.user_casts else None


def allowed_casts(statement: Statement) -> Reason | None:
    """Casts to plain built-in types; to a date or time only of what cannot be a text out of a table."""
    to_moments = 0
    for cast in _all_casts(statement):
        reason = _refusal_of_type(statement, cast.type_name)
        if reason is not None:
            return reason
        if at(statement.tokens, cast.operand[0] - 1).is_word("collate", "over"):
            return Reason.UNSUPPORTED_SYNTAX  # here the tree may show a part of what is cast
        to_moments += cast.type_name in MOMENT_TYPES
    ages = Ageing.CLOCK in statement.ageing  # then a text may say 'now'
    for type_name in defined_columns(statement.tokens):
        reason = _refusal_of_type(statement, type_name)
        if reason is not None or (type_name in MOMENT_TYPES and not ages):  # whose text is within JSON
            return reason or Reason.RELATIVE_TIME_INPUT
    if ages:
        return None
    return _refusal_of_moments(statement, to_moments) if to_moments else None


def _all_casts(statement: Statement) -> Iterator[CastToken]:
    yield from casts(statement.tokens)
    yield from called_casts(statement.tokens)


def _refusal_of_type(statement: Statement, type_name: str) -> Reason | None:
    if type_name == "regconfig":
        return Reason.TEXT_SEARCH if statement.catalog.user_text_search else None
    if type_name in REG_TYPES:
        return Reason.REG_TYPE_CAST
    if not type_name:
        return Reason.UNSUPPORTED_SYNTAX
    if type_name in PLAIN_TYPES:
        return None
    builtin = type_name in ("timetz", "record", "cstring", "unknown", "void", "aclitem")
    return Reason.UNSUPPORTED_TYPE if builtin else Reason.USER_TYPE


def _refusal_of_moments(statement: Statement, count: int) -> Reason | None:
    """Refuse to cast what may be a text, and what the tree does not show as the tokens do."""
    if statement.tree is None:
        return Reason.PARSE_ERROR
    operands = list(cast_to_moments(statement.tree))
    texts = Texts(statement, statement.tree)
    if len(operands) != count or not all(map(is_whole, operands)) or any(map(texts.may_be, operands)):
        return Reason.RELATIVE_TIME_INPUT
    return None
