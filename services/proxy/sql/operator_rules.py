"""The rule on operators, read from a statement's tokens: the symbols, and the words that stand for some. Pure."""

from collections.abc import Iterator

from services.proxy.sql.reasons import Reason
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import TokenKind

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
_TEXT_SEARCH = ("@@", "@@@")  # between texts they read both as the configuration says
_OPERATOR_ENDS_IN_SIGN = frozenset("~!@#%^&|`?")


def allowed_operators(statement: Statement) -> Reason | None:
    """Every operator, also those that words stand for, is a built-in one that nothing competes with."""
    operators = statement.catalog.operators
    for symbol in _symbols(statement):
        if symbol in operators.competing:
            return Reason.USER_OPERATOR
        if symbol not in operators.builtin:
            return Reason.UNKNOWN_OPERATOR
        if symbol in _TEXT_SEARCH and statement.catalog.user_text_search:
            return Reason.TEXT_SEARCH
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
