"""The rule on functions: what stands before a parenthesis, read from a statement's tokens. Pure."""

from sqlglot import exp

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.builtin_types import PLAIN_TYPES
from services.proxy.sql.casts import argument_count, is_type_modifier
from services.proxy.sql.functions import (
    ALLOWED,
    CLOCK_FUNCTIONS,
    CLOCK_WORDS,
    GIVES_ROWS,
    IMMUTABLE,
    SESSION_FUNCTIONS,
    SPECIAL_FORMS,
    TEXT_SEARCH,
)
from services.proxy.sql.reasons import Reason
from services.proxy.sql.snapshot import CATALOG_SCHEMA
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import TokenKind, at

# Words that may stand before a parenthesis without calling anything.
BEFORE_PARENTHESIS = frozenset(
    """
    all and any as asc between by case cross cube desc distinct else end escape except exists filter first from group
    having ilike in intersect is join last lateral like limit materialized next not nulls offset on only or order over
    partition rollup row select sets similar some symmetric then to union using values when where with within
    """.split()
)


def allowed_functions(statement: Statement) -> Reason | None:
    """Every name before a parenthesis is a function of the list, grammar, or a list of column names."""
    column_lists = _names_with_column_lists(statement.tree)
    functions = statement.catalog.functions
    for index, token in enumerate(statement.tokens):
        if not token.is_name or not at(statement.tokens, index + 1).is_mark("("):
            continue
        if at(statement.tokens, index - 1).is_mark("."):
            reason = _qualified_function(statement, index)
        elif token.kind is TokenKind.WORD and token.text in BEFORE_PARENTHESIS:
            # Some of these words may also name a function of the database.
            reason = Reason.USER_FUNCTION if token.text in functions.user else None
        elif is_type_modifier(statement.tokens, index) or (
            token.text in column_lists and token.text not in functions.builtin | functions.user
        ):
            reason = None
        else:
            reason = _function(statement, index)
        if reason is not None:
            return reason
    return None


def _qualified_function(statement: Statement, index: int) -> Reason | None:
    if at(statement.tokens, index - 2).text != CATALOG_SCHEMA or at(statement.tokens, index - 3).is_mark("."):
        return Reason.USER_FUNCTION
    return _function(statement, index)


def _function(statement: Statement, index: int) -> Reason | None:
    token, functions = statement.tokens[index], statement.catalog.functions
    name = token.text
    if name in SPECIAL_FORMS and token.kind is TokenKind.WORD:
        return None
    if name in CLOCK_WORDS and token.kind is TokenKind.WORD:
        return refusal_of_clock(statement)  # current_timestamp(3)
    if name in functions.competing:
        return Reason.USER_FUNCTION
    if name in PLAIN_TYPES:
        return _called_type(statement, index)
    if name in TEXT_SEARCH and statement.catalog.user_text_search:
        return Reason.TEXT_SEARCH
    if name in ALLOWED or name in TEXT_SEARCH or name in GIVES_ROWS:
        steady = functions.immutable if name in IMMUTABLE else functions.steady
        return None if name in steady else Reason.VOLATILE_FUNCTION
    if name == "age" and name in functions.steady and argument_count(statement.tokens, index + 1) > 1:
        return None  # between two moments; of one moment it is the age today
    if name in CLOCK_FUNCTIONS:
        return refusal_of_clock(statement)
    if name in SESSION_FUNCTIONS:
        return Reason.SESSION_FUNCTION
    if name.startswith("lo_") or name in ("loread", "lowrite"):
        return Reason.LARGE_OBJECT
    if name in functions.user:
        return Reason.USER_FUNCTION
    return Reason.UNKNOWN_FUNCTION if name in functions.steady else _unknown_or_volatile(statement, name)


def refusal_of_clock(statement: Statement) -> Reason | None:
    """Return why a statement may not ask for the time; None when its answers may age by it."""
    return None if Ageing.CLOCK in statement.ageing else Reason.CURRENT_TIME


def _called_type(statement: Statement, index: int) -> Reason | None:
    """Judge a call by a type's name: with one argument it may be a cast, which the rule on casts looks at as well."""
    name, functions = statement.tokens[index].text, statement.catalog.functions
    if name in functions.builtin:
        return None if name in functions.steady else Reason.VOLATILE_FUNCTION
    return None if argument_count(statement.tokens, index + 1) == 1 else Reason.UNKNOWN_FUNCTION


def _unknown_or_volatile(statement: Statement, name: str) -> Reason:
    return Reason.VOLATILE_FUNCTION if name in statement.catalog.functions.builtin else Reason.UNKNOWN_FUNCTION


def _names_with_column_lists(tree: exp.Expr | None) -> frozenset[str]:
    """Names of aliases and CTEs that are followed by the names of their columns: t(a, b)."""
    if tree is None:
        return frozenset()
    return frozenset(alias.name for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns"))
