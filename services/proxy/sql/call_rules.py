"""Rules on what a statement calls: functions, operators and casts, all read from its tokens. Pure."""

from collections.abc import Iterator

from sqlglot import exp

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.builtin_types import MOMENT_TYPES, PLAIN_TYPES, REG_TYPES
from services.proxy.sql.casts import casts
from services.proxy.sql.functions import (
    ALLOWED,
    CLOCK_FUNCTIONS,
    CLOCK_WORDS,
    GIVES_MOMENT,
    IMMUTABLE,
    SESSION_FUNCTIONS,
    SPECIAL_FORMS,
)
from services.proxy.sql.reasons import Reason
from services.proxy.sql.snapshot import CATALOG_SCHEMA
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import Token, TokenKind, at

# Words that may stand before a parenthesis without calling anything.
BEFORE_PARENTHESIS = frozenset(
    """
    all and any as asc between by case cross cube desc distinct else end escape except exists filter first from group
    having ilike in intersect is join last lateral like limit materialized next not nulls offset on only or order over
    partition rollup row select sets similar some symmetric then to union using values when where with within
    """.split()
)
# Operators that words stand for. Postgres resolves them like symbols.
_IMPLIED_OPERATORS = {
    "like": ("~~", "!~~"),
    "ilike": ("~~*", "!~~*"),
    "similar": ("~", "!~"),
    "in": ("=", "<>"),
    "between": ("<", "<=", ">", ">="),
    "nullif": ("=",),
    "distinct": ("=",),
    "using": ("=",),
    "natural": ("=",),
    "case": ("=",),
}
_OPERATOR_ENDS_IN_SIGN = frozenset("~!@#%^&|`?")


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
        elif _is_type_modifier(statement, index) or (
            token.text in column_lists and token.text not in functions.builtin | functions.user
        ):
            reason = None
        else:
            reason = _function(statement, token)
        if reason is not None:
            return reason
    return None


def _qualified_function(statement: Statement, index: int) -> Reason | None:
    if at(statement.tokens, index - 2).text != CATALOG_SCHEMA or at(statement.tokens, index - 3).is_mark("."):
        return Reason.USER_FUNCTION
    return _function(statement, statement.tokens[index])


def _function(statement: Statement, token: Token) -> Reason | None:
    name, functions = token.text, statement.catalog.functions
    if name in SPECIAL_FORMS and token.kind is TokenKind.WORD:
        return None
    if name in CLOCK_WORDS and token.kind is TokenKind.WORD:
        return refusal_of_clock(statement)  # current_timestamp(3)
    if name in functions.competing:
        return Reason.USER_FUNCTION
    if name in ALLOWED:
        steady = functions.immutable if name in IMMUTABLE else functions.steady
        return None if name in steady else Reason.VOLATILE_FUNCTION
    if name in CLOCK_FUNCTIONS:
        return refusal_of_clock(statement)
    if name in SESSION_FUNCTIONS:
        return Reason.SESSION_FUNCTION
    if name.startswith("lo_") or name in ("loread", "lowrite"):
        return Reason.LARGE_OBJECT
    if name in functions.user:
        return Reason.USER_FUNCTION
    if name in ("unnest", "generate_series", "generate_subscripts", "regexp_matches"):
        return Reason.TABLE_FUNCTION
    return Reason.UNKNOWN_FUNCTION if name in functions.steady else _unknown_or_volatile(statement, name)


def refusal_of_clock(statement: Statement) -> Reason | None:
    """Return why a statement may not ask for the time; None when its answers may age by it."""
    return None if Ageing.CLOCK in statement.ageing else Reason.CURRENT_TIME


def _unknown_or_volatile(statement: Statement, name: str) -> Reason:
    return Reason.VOLATILE_FUNCTION if name in statement.catalog.functions.builtin else Reason.UNKNOWN_FUNCTION


def _names_with_column_lists(tree: exp.Expr | None) -> frozenset[str]:
    """Names of aliases and CTEs that are followed by the names of their columns: t(a, b)."""
    if tree is None:
        return frozenset()
    return frozenset(alias.name for alias in tree.find_all(exp.TableAlias) if alias.args.get("columns"))


def _is_type_modifier(statement: Statement, index: int) -> bool:
    """Whether the parenthesis belongs to a type, as in numeric(10, 2); the rule on casts looks at the type."""
    previous = at(statement.tokens, index - 1)
    if previous.is_mark("::"):
        return True
    if statement.tokens[index].kind is not TokenKind.WORD:
        return False
    name = statement.tokens[index].text
    two_words = previous.is_word("character", "char", "bit") and name == "varying"
    in_cast = previous.is_word("as") and "cast" in statement.words and name in (
        "bit", "char", "character", "decimal", "dec", "float", "interval", "numeric", "time", "timestamp", "varchar"
    )  # fmt: skip
    return two_words or in_cast or name in ("interval", "time", "timestamp")


def allowed_operators(statement: Statement) -> Reason | None:
    """Every operator, also those that words stand for, is a built-in one that nothing competes with."""
    operators = statement.catalog.operators
    for symbol in _symbols(statement):
        if symbol in operators.competing:
            return Reason.USER_OPERATOR
        if symbol not in operators.builtin:
            return Reason.UNKNOWN_OPERATOR
    return None


def _symbols(statement: Statement) -> Iterator[str]:
    for token in statement.tokens:
        if token.kind is TokenKind.OPERATOR:
            yield from _cut_operator(token.text)
        elif token.kind is TokenKind.WORD:
            yield from _IMPLIED_OPERATORS.get(token.text, ())


def _cut_operator(text: str) -> Iterator[str]:
    """Cut signs off an operator as Postgres does: `<>-` is `<>` and `-`, but `@-` is one operator."""
    while len(text) > 1 and text[-1] in "+-" and not _OPERATOR_ENDS_IN_SIGN & set(text):
        yield text[-1]
        text = text[:-1]
    yield {"!=": "<>"}.get(text, text)


def no_user_casts(statement: Statement) -> Reason | None:
    """No cast between built-in types was defined in the database: it would work where none is written."""
    return Reason.USER_CAST if statement.catalog.user_casts else None


def allowed_casts(statement: Statement) -> Reason | None:
    """Casts to plain built-in types; to a date or time only of what is one, or of a value that can be looked at."""
    for cast in casts(statement.tokens):
        if cast.type_name in REG_TYPES:
            return Reason.REG_TYPE_CAST
        if not cast.type_name:
            return Reason.UNSUPPORTED_SYNTAX
        if cast.type_name not in PLAIN_TYPES:
            builtin = cast.type_name in ("timetz", "record", "cstring", "unknown", "void", "aclitem")
            return Reason.UNSUPPORTED_TYPE if builtin else Reason.USER_TYPE
        if cast.type_name in MOMENT_TYPES and not (
            Ageing.CLOCK in statement.ageing or _is_moment(statement, *cast.operand)
        ):
            return Reason.RELATIVE_TIME_INPUT
    return None


def _is_moment(statement: Statement, start: int, end: int) -> bool:
    """Whether an operand cannot be text out of a table, which may say 'now'."""
    operand = statement.tokens[start:end]
    if len(operand) == 1 and operand[0].kind in (TokenKind.LITERAL, TokenKind.PARAMETER):
        return True
    if operand and operand[0].text in GIVES_MOMENT and at(operand, 1).is_mark("("):
        return not any(token.is_mark(")") for token in operand[:-1]) or _one_call(operand)
    if not operand or not all(token.is_name for token in operand[::2]) or len(operand) % 2 == 0:
        return False
    if not all(token.is_mark(".") for token in operand[1::2]):
        return False
    return _is_moment_column(statement, operand[-1].text)


def _one_call(operand: tuple[Token, ...]) -> bool:
    depth = 0
    for token in operand[1:-1]:
        depth += token.is_mark("(") - token.is_mark(")")
        if depth == 0:
            return False
    return True


def _is_moment_column(statement: Statement, name: str) -> bool:
    """Whether every column of that name is a date or time, and nothing else goes by that name."""
    if statement.tree is None or name in ALLOWED | SPECIAL_FORMS:  # a call's result is named like the function
        return False
    given = {alias.alias for alias in statement.tree.find_all(exp.Alias)}
    given.update(column.name for alias in statement.tree.find_all(exp.TableAlias) for column in alias.columns)
    columns = [relation.column(name) for relation in statement.relations if relation is not None]
    found = [column for column in columns if column is not None]
    return name not in given and bool(found) and all(column.type_name in MOMENT_TYPES for column in found)
