"""What row security adds to an answer: what the policies of its tables read. Pure.

Which policies hold for a session, and whether any does (for an owner without FORCE, a superuser or a role with
BYPASSRLS none do), follows from its role and the catalog. So does by which role a view's tables are checked. Both are
in the key of each answer: the role as it is, the catalog as the fingerprint of the tables, with their owners and
policies, and of all roles and memberships. So nothing of that is worked out here. What a policy reads besides has to be
known, whoever it is for: its expression is read as the WHERE clause of a statement on its table, and has to be one that
could be cached. The tables that it reads become tables that the answer depends on, with their own policies; the
settings that it reads become parts of the key (`policy_text`).

A policy only takes rows away from its table, each by itself: a row that could not alter an answer without the policy
cannot with it, so the statement's own conditions still make its tags. An update matters also when it touches a column
that only a policy looks at.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from services.proxy.sql.inputs import relative_time_literal
from services.proxy.sql.lexer import LexError
from services.proxy.sql.reasons import Reason
from services.proxy.sql.snapshot import CATALOG_SCHEMA, Catalog, Policy, Relation
from services.proxy.sql.statement import NameSpace, Statement, read_statement
from services.proxy.sql.tag_rules import TagRule
from services.proxy.sql.template import lex
from services.proxy.sql.tokens import TokenError, TokenKind
from services.proxy.sql.views import tables_of_view, tables_read, views_in
from services.shared.relation import Shape

_UNKNOWN = Policy("", True, "", refusal=Reason.ROW_SECURITY)
_WRITTEN_IN = NameSpace((CATALOG_SCHEMA,))
_FULL_IDENTITY = "f"
_SETTING_FUNCTION = "current_setting"
_OF_CALLS = frozenset(
    (
        Reason.VOLATILE_FUNCTION,
        Reason.CURRENT_TIME,
        Reason.UNKNOWN_FUNCTION,
        Reason.USER_FUNCTION,
        Reason.TABLE_FUNCTION,
        Reason.LARGE_OBJECT,
        Reason.USER_OPERATOR,
        Reason.UNKNOWN_OPERATOR,
        Reason.USER_CAST,
    )
)
_OF_RELATIONS = frozenset(
    (
        Reason.UNKNOWN_RELATION,
        Reason.SYSTEM_CATALOG,
        Reason.TEMPORARY_OR_UNLOGGED,
        Reason.FOREIGN_TABLE,
        Reason.VIEW,
        Reason.MATERIALIZED_VIEW,
        Reason.SEQUENCE,
        Reason.NOT_A_TABLE,
        Reason.CHILD_NOT_FOLLOWED,
        Reason.NOT_PUBLISHED,
        Reason.NO_REPLICA_IDENTITY,
        Reason.RULES,
    )
)

Refuse = Callable[[Statement], Reason | None]


@dataclass(frozen=True, slots=True)
class PolicyReading:
    """What one policy reads.

    Attributes:
        policy: The policy.
        refusal: Why an answer that it has a part in cannot be cached; None when it can.
        cause: What the rules said of its expression; None when they have nothing against it.
        tables: OIDs of the tables that it reads besides its own row, directly or through views.
        views: OIDs of those views.
        columns: Columns of its own table that it may look at; None: all.
        name: How people are told of it: with its table.
    """

    policy: Policy
    refusal: Reason | None
    cause: Reason | None = None
    tables: tuple[int, ...] = ()
    views: tuple[int, ...] = ()
    columns: frozenset[str] | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """What policies add to a statement.

    Attributes:
        refused: The first policy that keeps its answers out of the cache; None when there is none.
        settings: Names of the settings that the policies read, sorted.
        tables: OIDs of the tables that they read, each once.
        views: OIDs of the views through which they do.
    """

    refused: PolicyReading | None = None
    settings: tuple[str, ...] = ()
    tables: tuple[int, ...] = ()
    views: tuple[int, ...] = ()


def guard_of(statement: Statement, refuse: Refuse) -> Guard:
    """Return what the policies of the tables that a statement reads add to it, and those of the tables that these read.

    Args:
        statement: The statement.
        refuse: The rules for statements, those on policies left out.
    """
    catalog = statement.catalog
    settings: set[str] = set()
    tables: dict[int, None] = {}
    views: dict[int, None] = {}
    waiting = list(tables_read(statement))
    seen = set(waiting)
    while waiting:
        for reading in readings(catalog, waiting.pop(), refuse):
            if not reading.policy.of_reads:
                continue
            if reading.refusal is not None:
                return Guard(refused=reading)
            settings.update(reading.policy.settings)
            tables.update(dict.fromkeys(reading.tables))
            views.update(dict.fromkeys(reading.views))
            new = [oid for oid in reading.tables if oid not in seen]
            seen.update(new)
            waiting += new
    return Guard(None, tuple(sorted(settings)), tuple(tables), tuple(views))


def guarded_rules(rules: Iterable[TagRule], guard: Guard, catalog: Catalog, refuse: Refuse) -> tuple[TagRule, ...]:
    """Return the tag rules of a statement, and with them those of what its policies look at."""
    own = (_watching(rule, catalog, refuse) for rule in rules)
    return (*own, *(TagRule(Shape(oid)) for oid in guard.tables))


def readings(catalog: Catalog, table: int, refuse: Refuse) -> Sequence[PolicyReading]:
    """Return what each policy of a table reads: those for writes, too. None while its row security is off."""
    known: dict[int, Sequence[PolicyReading]] = catalog.read_policies
    if table not in known:
        relation = catalog.by_oid.get(table)
        policies: Sequence[Policy] = ()
        if relation is not None and relation.row_security:
            policies = catalog.policies.get(table, ()) if catalog.policies_known else (_UNKNOWN,)
        known[table] = [
            replace(
                _read(catalog, relation, policy, refuse), name=f"{policy.name} on {relation.schema}.{relation.name}"
            )
            for policy in policies
            if relation is not None
        ]
    return known[table]


def policies_are_tame(catalog: Catalog, relation: Relation, refuse: Refuse, *, writes: bool) -> bool:
    """Tell whether a table's policies run no code of this database and write nothing.

    Args:
        catalog: The catalog.
        relation: The table.
        refuse: As in `guard_of`.
        writes: Those for writes count, too.
    """
    waiting, seen = [(relation.oid, writes)], {relation.oid}
    while waiting:
        table, all_of_them = waiting.pop()
        for reading in readings(catalog, table, refuse):
            if not (all_of_them or reading.policy.of_reads):
                continue
            if reading.refusal is not None:
                return False
            waiting += [(oid, False) for oid in reading.tables if oid not in seen]
            seen.update(reading.tables)
    return True


def _read(catalog: Catalog, relation: Relation, policy: Policy, refuse: Refuse) -> PolicyReading:
    if policy.refusal is not None:
        return PolicyReading(policy, policy.refusal, policy.refusal)
    if policy.of_reads and not set(policy.settings) <= set(catalog.policy_settings):
        return PolicyReading(policy, Reason.POLICY_SETTING)
    if policy.settings and _SETTING_FUNCTION in catalog.functions.user:
        return PolicyReading(policy, Reason.POLICY_FUNCTION, Reason.USER_FUNCTION)
    try:
        statement = read_statement(lex(_as_statement(relation, policy)), catalog, _WRITTEN_IN)
    except (LexError, TokenError):
        return PolicyReading(policy, Reason.ROW_SECURITY, Reason.LEX_ERROR)
    cause = Reason.RELATIVE_TIME_INPUT if relative_time_literal(statement.lexed) else refuse(statement)
    if cause is not None:
        return PolicyReading(policy, _named(cause), cause)
    tables = _read_besides(statement, relation)
    return PolicyReading(policy, None, None, tables, views_in(statement), _columns(statement, relation))


def _as_statement(relation: Relation, policy: Policy) -> str:
    schema, name = (part.replace('"', '""') for part in (relation.schema, relation.name))
    return f'SELECT 1 FROM ONLY "{schema}"."{name}" WHERE ({policy.expression})'  # noqa: S608 - read, and never run


def _named(cause: Reason) -> Reason:
    if cause is Reason.SESSION_FUNCTION:
        return Reason.POLICY_SETTING
    if cause in _OF_CALLS:
        return Reason.POLICY_FUNCTION
    return Reason.POLICY_RELATION if cause in _OF_RELATIONS else Reason.ROW_SECURITY


def _read_besides(statement: Statement, relation: Relation) -> tuple[int, ...]:
    """Return the tables that a policy reads; its own is one where it is named a second time, or a view reads it."""
    found = dict.fromkeys(tables_read(statement))
    named = sum(1 for other in statement.relations if other is not None and other.oid == relation.oid)
    if named == 1 and relation.oid not in _through_views(statement):
        found.pop(relation.oid, None)
    return tuple(found)


def _through_views(statement: Statement) -> set[int]:
    views = [relation for relation in statement.relations if relation is not None and relation.kind == "v"]
    found: set[int] = set()
    for view in views:
        found.update(tables_of_view(statement.catalog, view.oid))
    return found


def _columns(statement: Statement, relation: Relation) -> frozenset[str] | None:
    """Return the columns that are named anywhere in a policy; None where a star or a row may stand for all of them."""
    names = {token.text for token in statement.tokens if token.is_name}
    columns = [column for column in relation.columns if column.name in names]
    everything = any(token.kind is TokenKind.OPERATOR and "*" in token.text for token in statement.tokens)
    if everything or any(column.generated for column in columns):  # a generated one is computed from others
        return None
    return frozenset(column.name for column in columns)


def _watching(rule: TagRule, catalog: Catalog, refuse: Refuse) -> TagRule:
    """Return the rule of one occurrence, to which the columns of its table's policies matter, too."""
    shape = rule.shape
    relation = catalog.by_oid.get(shape.relation)
    if shape.watched is None or relation is None:
        return rule
    watched: set[str] | None = set(shape.watched)
    for reading in readings(catalog, shape.relation, refuse):
        if reading.policy.of_reads and watched is not None:
            watched = None if reading.columns is None else watched | reading.columns
    told = relation.identity == _FULL_IDENTITY or (watched is not None and watched <= relation.identity_columns)
    if watched is None or not told or len(watched) >= len(relation.columns):
        return replace(rule, shape=replace(shape, watched=None))
    return replace(rule, shape=replace(shape, watched=tuple(sorted(watched))))
