"""What does a forwarded statement do besides answering? The widest guess unless less is proven. Pure.

`writes` decides which cached relations a session must not be served from until the write is covered (the consistency
contract, section 9.6).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sqlglot import exp

from services.proxy.sql.call_rules import BEFORE_PARENTHESIS
from services.proxy.sql.cast_rules import no_user_casts
from services.proxy.sql.casts import casts
from services.proxy.sql.functions import (
    ALLOWED,
    HARMLESS_VOLATILE,
    RUNS_QUERIES,
    SEQUENCE_FUNCTIONS,
    SPECIAL_FORMS,
)
from services.proxy.sql.inner_statement import copied_table, inner_statement
from services.proxy.sql.occurrences import call_in_from, scanned_relations
from services.proxy.sql.operator_rules import allowed_operators
from services.proxy.sql.policies import policies_are_tame
from services.proxy.sql.rules import refusal_but_for_policies
from services.proxy.sql.snapshot import CATALOG_SCHEMA, FIRST_USER_OID, Functions, Relation
from services.proxy.sql.statement import Statement, read_statement
from services.proxy.sql.tokens import Token, TokenKind, at
from services.proxy.sql.written_rows import WrittenRows, written_rows

TransactionStep = Literal["begin", "commit", "rollback", "savepoint"]


@dataclass(frozen=True, slots=True)
class StatementEffect:
    """What a statement may do.

    Attributes:
        writes: OIDs of the relations that it may write; None: any; empty: proven to write none by itself. (A COMMIT
            makes visible what its transaction's statements wrote: that is theirs, and the caller's to add up.)
        changes_session: It may change a setting, a prepared statement, a temporary table or a lock of the session.
        changes_schema: It may change what a name means or who may use it; then it may change the session, too.
        transaction: The step that it takes in a transaction block, if that is all it does.
        rows: Which rows of the one relation in `writes` it writes, where its text names them; None: any.
    """

    writes: frozenset[int] | None
    changes_session: bool
    changes_schema: bool
    transaction: TransactionStep | None = None
    rows: WrittenRows | None = field(default=None, compare=False)


WIDEST = StatementEffect(None, changes_session=True, changes_schema=True)
READS = StatementEffect(frozenset(), changes_session=False, changes_schema=False)
_SESSION = StatementEffect(frozenset(), changes_session=True, changes_schema=False)
# A trigger may write anything and change settings. (Should it run DDL, the catalog poll notices.)
_ANY_WRITE = StatementEffect(None, changes_session=True, changes_schema=False)


def _step(step: TransactionStep) -> StatementEffect:
    return StatementEffect(frozenset(), changes_session=False, changes_schema=False, transaction=step)


# By first word; a word that is missing here has the widest effect.
_BY_KEYWORD: dict[str, StatementEffect] = {
    "BEGIN": _step("begin"),
    "START": _step("begin"),
    "COMMIT": _step("commit"),
    "END": _step("commit"),
    "ROLLBACK": _step("rollback"),
    "ABORT": _step("rollback"),
    "SAVEPOINT": _step("savepoint"),
    "RELEASE": _step("savepoint"),
    "SHOW": READS,
    "CLOSE": READS,
    "FETCH": READS,  # what its cursor does was counted when that was declared, in the same transaction
    "MOVE": READS,
    "NOTIFY": READS,
    "LOCK": READS,
    "CHECKPOINT": READS,
    "SET": _SESSION,
    "RESET": _SESSION,
    "DISCARD": _SESSION,
    "DEALLOCATE": _SESSION,
    "LISTEN": _SESSION,
    "UNLISTEN": _SESSION,
}
_TRANSACTION_KEYWORDS = frozenset(("COMMIT", "END", "ROLLBACK", "ABORT"))
_READING_KEYWORDS = frozenset(("SELECT", "WITH", "VALUES", "TABLE"))
_CARRYING_KEYWORDS = frozenset(("COPY", "DECLARE", "EXPLAIN"))
_WRITING_KEYWORDS = frozenset(("INSERT", "UPDATE", "DELETE"))
_TIDYING_WORDS = ("close", "deallocate", "discard", "listen", "reset", "show", "unlisten")
_UNLOCK_ALL = "pg_advisory_unlock_all"
_SETTERS = frozenset(("set_config",))
_SEMICOLON = Token(TokenKind.MARK, ";")
_NO_READ = ("into", "insert", "update", "delete", "merge")


def statement_effect(statement: Statement) -> StatementEffect:
    """Return what a statement may do, the widest where less is not proven."""
    lexed = statement.lexed
    if lexed.statement_count == 0:
        return READS
    if lexed.statement_count > 1:
        return _SESSION if _only_tidies_up(statement) else WIDEST
    if lexed.keyword in _READING_KEYWORDS:
        if _only_reads(statement, SEQUENCE_FUNCTIONS):  # no cached answer reads a sequence
            return READS
        return _SESSION if _only_reads(statement, SEQUENCE_FUNCTIONS | _SETTERS) else WIDEST
    if lexed.keyword in _WRITING_KEYWORDS:
        return _plain_write(statement)
    if lexed.keyword == "PREPARE":
        return WIDEST if statement.tokens[1:2] and statement.tokens[1].is_word("transaction") else _SESSION
    if lexed.keyword in _CARRYING_KEYWORDS:
        return _carried(statement)
    return _by_keyword(statement)


def _carried(statement: Statement) -> StatementEffect:
    """Return what a COPY, DECLARE or EXPLAIN does: what the statement does that it carries, or with its table."""
    inner = inner_statement(statement.lexed)
    if inner is not None:
        if inner.keyword not in (*_READING_KEYWORDS, *_WRITING_KEYWORDS):
            return WIDEST
        return replace(statement_effect(read_statement(inner, statement.catalog, statement.name_space)), rows=None)
    table = copied_table(statement.lexed)
    if table is None:
        return WIDEST
    relation = statement.catalog.resolve(table.schema, table.name, statement.name_space.schemas)
    if relation is None:
        return WIDEST
    if table.into:
        return _write_to(statement, relation, "INSERT")
    return READS if _is_tame(statement, relation) and not _has_user_types(relation) else WIDEST


def _only_tidies_up(statement: Statement) -> bool:
    """Whether several statements only give back what a session holds, as pools do between two users of a connection.

    Were this taken for a write of anything, nothing that is read behind it would be served from the cache.
    """
    single: list[Token] = []
    for token in (*statement.tokens, _SEMICOLON):
        if not token.is_mark(";"):
            single.append(token)
            continue
        if single and not single[0].is_word(*_TIDYING_WORDS) and not _unlocks(statement, single):
            return False
        single = []
    return True


def _unlocks(statement: Statement, single: Sequence[Token]) -> bool:
    if _UNLOCK_ALL in statement.catalog.functions.user:
        return False
    return [token.text for token in single] == ["select", _UNLOCK_ALL, "(", ")"]


def _by_keyword(statement: Statement) -> StatementEffect:
    tokens, keyword = statement.tokens, statement.lexed.keyword
    if keyword == "SET" and at(tokens, 1).is_word("constraints"):
        return WIDEST  # deferred triggers run at once
    if keyword in _TRANSACTION_KEYWORDS:
        words = statement.words
        if "prepared" in words or "chain" in words:
            return WIDEST  # another session's writes; a new block at the same time
        if keyword == "ROLLBACK" and "to" in words:
            return replace(_step("savepoint"), changes_session=True)  # what was set behind the savepoint is undone
    return _BY_KEYWORD.get(keyword, WIDEST)


def _only_reads(statement: Statement, also: frozenset[str]) -> bool:
    """Whether a query provably writes nothing and runs no code of this database."""
    for index, token in enumerate(statement.tokens):
        if not token.is_word(*_NO_READ) or at(statement.tokens, index - 1).is_mark("."):
            continue
        locks = token.text == "update" and at(statement.tokens, index - 1).is_word("for", "key")
        if not locks:
            return False
    return _harmless(statement, also)


def _plain_write(statement: Statement) -> StatementEffect:
    """Return the one relation that a plain INSERT, UPDATE or DELETE writes, if nothing else can come of it."""
    target = _target(statement)
    if target is None or not _harmless(statement, SEQUENCE_FUNCTIONS):
        return WIDEST
    effect = _write_to(statement, target, statement.lexed.keyword)
    if effect.writes is None or statement.lexed.keyword == "INSERT":
        return effect
    return replace(effect, rows=written_rows(statement, target))


def _write_to(statement: Statement, target: Relation, keyword: str) -> StatementEffect:
    """Return the effect of a plain write: on the table, on its parts, and on all that these are a part of.

    What is inserted in a table with children stays in that table.
    """
    parts = () if keyword == "INSERT" and target.kind != "p" else target.parts
    written = [target, *(statement.catalog.by_oid[oid] for oid in parts)]
    if not all(_keeps_to_itself(statement, relation, keyword) for relation in written):
        return _ANY_WRITE
    oids = frozenset(oid for relation in written for oid in (relation.oid, *relation.ancestors))
    return StatementEffect(oids, changes_session=False, changes_schema=False)


def _target(statement: Statement) -> Relation | None:
    tokens, index = statement.tokens, 1
    if at(tokens, index).is_word("into", "from"):
        index += 1
    if at(tokens, index).is_word("only"):
        index += 1
    schema, name = "", at(tokens, index)
    if at(tokens, index + 1).is_mark("."):
        schema, name = name.text, at(tokens, index + 2)
    if not name.is_name:
        return None
    return statement.catalog.resolve(schema, name.text, statement.name_space.schemas)


def _keeps_to_itself(statement: Statement, relation: Relation, keyword: str) -> bool:
    """Whether writing to a relation writes nothing else and runs no code of this database."""
    if relation.kind not in ("r", "p") or relation.rules:
        return False
    if not _has_tame_policies(statement, relation, writes=True):
        return False
    if relation.user_triggers or relation.user_code or _has_user_types(relation):
        return False
    return keyword == "INSERT" or not (relation.cascades or relation.temporary_children)


def _has_user_types(relation: Relation) -> bool:
    return any(column.user_type for column in relation.columns)


def _harmless(statement: Statement, also: frozenset[str]) -> bool:
    """Whether all functions, operators, casts and relations of a statement are Postgres' own or ordinary tables."""
    if statement.name_space.schemas[:1] != (CATALOG_SCHEMA,):
        return False
    if allowed_operators(statement) is not None or no_user_casts(statement) is not None:
        return False
    if any(not _is_builtin_type(statement, cast.type_name) for cast in casts(statement.tokens)):
        return False
    return all(_is_tame(statement, relation) for relation in _relations(statement)) and _tame_calls(statement, also)


def _is_builtin_type(statement: Statement, name: str) -> bool:
    return bool(name) and name in statement.catalog.builtin_types


def _relations(statement: Statement) -> list[Relation | None]:
    """Every relation that the statement may read, by either reader, CTEs' names apart."""
    path = statement.name_space.schemas
    if statement.tree is None or isinstance(statement.tree, exp.Command):
        return [None]
    names = {(table.db, table.name) for table in statement.tree.find_all(exp.Table) if call_in_from(table) is None}
    scanned = {(found.schema, found.name) for found in scanned_relations(statement.tokens)}
    ctes = {cte.alias for cte in statement.tree.find_all(exp.CTE)}
    return [
        relation
        for schema, name in names | scanned
        if (relation := statement.catalog.resolve(schema, name, path)) is not None or schema or name not in ctes
    ]


def _is_tame(statement: Statement, relation: Relation | None) -> bool:
    """Whether reading a relation runs no code of this database: tables with tame policies or none, Postgres' own."""
    if relation is None:
        return False
    if relation.oid < FIRST_USER_OID:
        return True
    return relation.kind in "rpS" and not relation.rules and _has_tame_policies(statement, relation, writes=False)


def _has_tame_policies(statement: Statement, relation: Relation, *, writes: bool) -> bool:
    """Whether the row security of a relation is off, or its policies call nothing that could do something."""
    if not relation.row_security:
        return True
    if statement.name_space.schemas[:1] != (CATALOG_SCHEMA,):
        return False
    return policies_are_tame(statement.catalog, relation, refusal_but_for_policies, writes=writes)


def _tame_calls(statement: Statement, also: frozenset[str]) -> bool:
    tokens, functions = statement.tokens, statement.catalog.functions
    for index, token in enumerate(tokens):
        if not token.is_name:
            continue
        if not at(tokens, index + 1).is_mark("("):
            if at(tokens, index - 1).is_mark(".") and not _is_tame_attribute(token.text, functions):
                return False
            continue
        if token.text in functions.user and _may_be_meant(statement, index):
            return False
        if not _is_tame_call(statement, tokens, index, also):
            return False
    return True


def _is_tame_attribute(name: str, functions: Functions) -> bool:
    """Whether `x.name` does nothing: it may call a function of that name with x."""
    if name in functions.user or name in RUNS_QUERIES:
        return False
    return name not in functions.builtin or name in functions.steady or name in HARMLESS_VOLATILE


def _may_be_meant(statement: Statement, index: int) -> bool:
    """Whether a name before a parenthesis may call the function of that name that was defined in the database."""
    name = statement.tokens[index].text
    return name in statement.catalog.functions.competing or name not in statement.catalog.functions.builtin


def _is_tame_call(statement: Statement, tokens: Sequence[Token], index: int, also: frozenset[str]) -> bool:
    name, functions = tokens[index].text, statement.catalog.functions
    if at(tokens, index - 1).is_mark(".") and at(tokens, index - 2).text != CATALOG_SCHEMA:
        return _is_target_with_columns(statement, index)
    if name in ALLOWED or name in HARMLESS_VOLATILE or name in also:
        return True
    if name in functions.builtin:
        return name in functions.steady and name not in RUNS_QUERIES
    if tokens[index].kind is TokenKind.WORD and (name in SPECIAL_FORMS or name in BEFORE_PARENTHESIS):
        return True
    return name not in functions.user  # a type, a list of column names, or nothing at all


def _is_target_with_columns(statement: Statement, index: int) -> bool:
    """Whether the name is the table of `INSERT INTO schema.table (columns)`."""
    return statement.lexed.keyword == "INSERT" and index == 4 and at(statement.tokens, 1).is_word("into")
