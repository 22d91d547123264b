"""The rules by which a statement is cached, each a function that names what it objects to. Default: refuse. Pure.

The order is that of the advice: what a user should hear first comes first. Rules on tokens guard what sqlglot might
read differently than Postgres; rules on the tree guard what tokens cannot show.
"""

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from services.proxy.sql.call_rules import allowed_functions, refusal_of_clock
from services.proxy.sql.cast_rules import allowed_casts, no_user_casts
from services.proxy.sql.functions import CLOCK_WORDS, GIVES_RECORDS
from services.proxy.sql.grammar import QUERIES, WRITES, is_allowed
from services.proxy.sql.lexer import LiteralKind
from services.proxy.sql.occurrences import scanned_relations
from services.proxy.sql.operator_rules import allowed_operators
from services.proxy.sql.policies import Guard, guard_of
from services.proxy.sql.reasons import Reason
from services.proxy.sql.relation_rules import followed_relations, known_columns, plain_columns
from services.proxy.sql.snapshot import CATALOG_SCHEMA
from services.proxy.sql.statement import Statement
from services.proxy.sql.tokens import Token, TokenKind, at
from services.proxy.sql.views import refusal_of_view, tables_read

Rule = Callable[[Statement], Reason | None]

SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax"))  # tableoid changes with the catalog alone
_SESSION_WORDS = frozenset(
    "current_catalog current_role current_schema current_user session_user system_user user".split()
)
_UNREAD_LITERALS = (LiteralKind.UNICODE.value, LiteralKind.NATIONAL.value)


def only_one_read(statement: Statement) -> Reason | None:
    """One statement, which is a SELECT as far as its first word tells."""
    if statement.lexed.statement_count == 0:
        return Reason.EMPTY
    if statement.lexed.statement_count > 1 or ";" in (token.text for token in statement.tokens):
        return Reason.MULTIPLE_STATEMENTS
    return None if statement.lexed.keyword in ("SELECT", "WITH") else Reason.NOT_A_SELECT


def catalog_comes_first(statement: Statement) -> Reason | None:
    """Built-in names mean built-in things only while pg_catalog is searched first."""
    return None if statement.name_space.schemas[:1] == (CATALOG_SCHEMA,) else Reason.SEARCH_PATH


def no_telling_words(statement: Statement) -> Reason | None:
    """Refuse clauses and session values that single words give away, whatever the parser makes of them."""
    for index, token in enumerate(statement.tokens):
        if token.is_name and token.text in SYSTEM_COLUMNS:
            return Reason.SYSTEM_COLUMN
        if token.kind is TokenKind.WORD and not at(statement.tokens, index - 1).is_mark("."):
            clock = token.text in CLOCK_WORDS
            reason = refusal_of_clock(statement) if clock else _telling_word(statement.tokens, index)
            if reason is not None:
                return reason
    return None


def _telling_word(tokens: tuple[Token, ...], index: int) -> Reason | None:
    word, following = tokens[index].text, at(tokens, index + 1)
    if word in _SESSION_WORDS:
        return Reason.SESSION_FUNCTION
    if word == "into":
        return Reason.SELECT_INTO
    if word == "tablesample":
        return Reason.TABLESAMPLE
    if word == "for" and following.is_word("update", "share", "no", "key"):
        return Reason.LOCKING_CLAUSE
    if word in ("insert", "update", "delete", "merge") and at(tokens, index - 1).is_mark("("):
        return Reason.DATA_MODIFYING_CTE
    if word in ("table", "uescape") or (word == "collation" and following.is_word("for")):
        return Reason.UNSUPPORTED_SYNTAX
    if word == "operator" and following.is_mark("("):
        return Reason.UNSUPPORTED_SYNTAX
    return None


def plain_literals(statement: Statement) -> Reason | None:
    """No literals of unusual meaning, and none beside another without a line break."""
    for index, token in enumerate(statement.tokens):
        if token.kind is not TokenKind.LITERAL:
            continue
        if token.text in _UNREAD_LITERALS:
            return Reason.UNSUPPORTED_SYNTAX
        if at(statement.tokens, index + 1).kind is TokenKind.LITERAL:
            return Reason.PARSE_ERROR
    return None


def allowed_tree(statement: Statement) -> Reason | None:
    """Sqlglot reads it, as a query, and every node of it is one that we know."""
    tree = statement.tree
    if tree is None:
        return Reason.PARSE_ERROR
    for node in tree.walk():
        if isinstance(node, WRITES):
            return Reason.DATA_MODIFYING_CTE
        if isinstance(node, exp.Table | exp.Lateral) and not _is_known_item(node):
            return Reason.TABLE_FUNCTION
        if not is_allowed(node) or (isinstance(node, exp.Join) and not _is_join_of_postgres(node)):
            return Reason.UNSUPPORTED_SYNTAX
    query = tree
    while isinstance(query, exp.Subquery):
        query = query.this
    return None if isinstance(query, QUERIES) else Reason.NOT_A_SELECT


def _is_known_item(item: exp.Table | exp.Lateral) -> bool:
    """Whether an item of FROM is a relation, a derived table, or the call of a function by its name."""
    alias = item.args.get("alias")
    if alias is not None and any(isinstance(column, exp.ColumnDef) for column in alias.columns):
        return isinstance(item.this, exp.Anonymous) and item.this.name in GIVES_RECORDS
    if isinstance(item, exp.Table):
        return isinstance(item.this, exp.Identifier | exp.Func) and not item.args.get("rows_from")
    return isinstance(item.this, exp.Subquery | exp.Func | exp.Unnest)


def _is_join_of_postgres(join: exp.Join) -> bool:
    """Whether it is no join of other databases: in `FROM a semi JOIN b`, `semi` is the name by which a goes."""
    return join.method in ("", "NATURAL") and join.kind in ("", "INNER", "CROSS", "OUTER")


def both_readers_agree(statement: Statement) -> Reason | None:
    """The names in FROM are the same by the tree and by the tokens."""
    agree = list(statement.names) == scanned_relations(statement.tokens)
    return None if agree else Reason.PARSE_ERROR


def readable_views(statement: Statement) -> Reason | None:
    """What the definition of each view reads could be cached by itself."""

    def refuse(definition: Statement) -> Reason | None:
        return refusal_but_for_policies(replace(definition, ageing=statement.ageing))

    for relation in statement.relations:
        if relation is not None and relation.kind == "v":
            reason = refusal_of_view(statement.catalog, relation.oid, refuse)
            if reason is not None:
                return reason
    return None if tables_read(statement) else Reason.NO_RELATION


RULES: tuple[Rule, ...] = (
    only_one_read,
    catalog_comes_first,
    no_telling_words,
    plain_literals,
    allowed_functions,
    allowed_operators,
    no_user_casts,
    allowed_casts,
    allowed_tree,
    both_readers_agree,
    followed_relations,
    readable_views,
    plain_columns,
    known_columns,
)


def refusal_but_for_policies(statement: Statement) -> Reason | None:
    """Return the first rule's objection; None when there is none. What row security adds is not looked at."""
    for rule in RULES:
        reason = rule(statement)
        if reason is not None:
            return reason
    return None


def judged(statement: Statement) -> tuple[Reason | None, Guard]:
    """Return why a statement cannot be cached, None when it can; and what row security adds to it then."""
    refusal = refusal_but_for_policies(statement)
    if refusal is not None:
        return refusal, Guard()
    guard = guard_of(statement, refusal_but_for_policies)
    return guard.refused.refusal if guard.refused is not None else None, guard
