"""One statement: our verdict held against what Postgres says, and its answers against each other.

A *fault* is a statement that we would cache and must not: something that its answer depends on is not among what we
say, it calls what is not the same at each call, or the same text gave other rows although nothing had changed. What we
would cache where answers may age is held to the same, but may tell the time and read materialized views.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import psycopg

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.catalog import Catalog
from services.proxy.sql.inputs import relative_time_literal
from services.proxy.sql.lexer import LexError
from services.proxy.sql.reasons import Reason
from services.proxy.sql.snapshot import FIRST_USER_OID
from services.proxy.sql.template import lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse, unanalysable
from tests.verdicts.dependencies import Connection, Dependencies, Oracle, Plan
from tests.verdicts.steady import CLOCK, STEADY

_FLOAT = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?|-?\d+e[-+]?\d+", re.IGNORECASE)
_NAME_SPACE = NameSpace(("pg_catalog", "public"))


@dataclass(slots=True)
class Findings:
    """What came out of one corpus.

    Attributes:
        name: The corpus.
        total: How many statements Postgres took.
        refused: Those that read tables of the database and are not cached, by the reason.
        ageing: How many of those would be cached where answers may age.
        cached: How many are.
        viewed: Of those, how many Postgres took as a view, and so said everything of.
        compared: Of those, how many were run twice.
        faults: What is wrong, each with the statement.
    """

    name: str
    total: int = 0
    refused: dict[str, list[str]] = field(default_factory=dict)
    ageing: int = 0
    cached: int = 0
    viewed: int = 0
    compared: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def reading(self) -> int:
        """How many read tables of the database, as far as their plans show."""
        return self.cached + sum(map(len, self.refused.values()))


def judge(text: str, catalog: Catalog) -> Analysis:
    """Judge a statement as the proxy does, what its literals say included."""
    try:
        lexed = lex(text)
    except LexError:
        return unanalysable()
    analysis = analyse(lexed, catalog, _NAME_SPACE)
    if analysis.cacheable and relative_time_literal(lexed):
        by_clock = frozenset((Ageing.CLOCK,))
        return replace(analysis, cacheable=False, reason=Reason.RELATIVE_TIME_INPUT.value, ageing=by_clock)
    return analysis


def examine(name: str, texts: Iterable[str], catalog: Catalog, connection: Connection) -> Findings:
    """Examine the statements that Postgres takes.

    Args:
        name: Of the corpus.
        texts: The statements.
        catalog: What the proxy knows of the database.
        connection: To that database, as superuser and in autocommit; nothing is changed in it.
    """
    oracle, findings = Oracle(connection), Findings(name)
    for text in texts:
        analysis = judge(text, catalog)
        plan = oracle.plan(text)
        if plan is None:
            continue
        findings.total += 1
        if not analysis.cacheable:
            if any(oid >= FIRST_USER_OID for oid in plan.relations):
                findings.refused.setdefault(analysis.reason, []).append(text)
            if analysis.ageing:
                findings.ageing += 1
                found = _faults_of_ageing(analysis, plan, oracle.dependencies(text), oracle, _stored(catalog))
                findings.faults += [f"{fault}:\n{text}" for fault in found]
            continue
        findings.cached += 1
        dependencies = oracle.dependencies(text)
        findings.viewed += dependencies is not None
        faults = [*_unplanned(analysis, plan, oracle), *_undeclared(analysis, dependencies, oracle)]
        if not plan.is_large:
            same = _same_rows(connection, text)
            findings.compared += same is not None
            faults += ["the same text gave other rows"] if same is False else []
        findings.faults += [f"{fault}:\n{text}" for fault in faults]
    return findings


def _stored(catalog: Catalog) -> frozenset[int]:
    """Return the materialized views."""
    return frozenset(oid for oid, relation in catalog.by_oid.items() if relation.kind == "m")


def _faults_of_ageing(
    analysis: Analysis, plan: Plan, dependencies: Dependencies | None, oracle: Oracle, stored: frozenset[int]
) -> Iterator[str]:
    """Tell what a statement depends on beside its relations, and beside what it may age by."""
    read = stored & (plan.relations | (dependencies.columns.keys() if dependencies is not None else frozenset()))
    if (Ageing.REFRESH in analysis.ageing) < bool(read):
        yield "reads a materialized view, and nothing is said of one"
    yield from _unplanned(analysis, replace(plan, relations=plan.relations - stored), oracle)
    if dependencies is not None:
        tells = CLOCK if Ageing.CLOCK in analysis.ageing else frozenset()
        known = replace(
            dependencies,
            columns={oid: columns for oid, columns in dependencies.columns.items() if oid not in stored},
            steady=dependencies.steady - tells,
            volatile=tuple(name for name in dependencies.volatile if name not in tells),
        )
        yield from _undeclared(analysis, known, oracle)


def _unplanned(analysis: Analysis, plan: Plan, oracle: Oracle) -> Iterator[str]:
    """Tell which relations are scanned that are neither ours nor below ours."""
    for oid in plan.relations - oracle.below(set(analysis.relations)):
        yield f"scans {oracle.name(oid)}, which is not among its relations"


def _undeclared(analysis: Analysis, dependencies: Dependencies | None, oracle: Oracle) -> Iterator[str]:
    """Tell what the statement depends on, as a view of it shows, that we did not say."""
    if dependencies is None:
        return
    watched = _watched(analysis)
    for oid, columns in dependencies.columns.items():
        seen = watched.get(oid, frozenset())
        if oid not in watched:
            yield f"refers to {oracle.name(oid)}, which is not among its relations"
        elif seen is not None and columns - seen:
            yield f"refers to {sorted(columns - seen)} of {oracle.name(oid)}, which are not among the watched columns"
    for description in dependencies.foreign:
        yield f"uses {description}"
    for function in dependencies.volatile:
        yield f"calls {function}, which is volatile"
    for function in sorted(dependencies.steady - STEADY):
        yield f"calls {function}, of which nobody has said on what it depends"


def _watched(analysis: Analysis) -> dict[int, frozenset[str] | None]:
    """Return the columns that are watched of each relation; None for all."""
    watched: dict[int, frozenset[str] | None] = {}
    for rule in analysis.tag_rules:
        before = watched.get(rule.shape.relation, frozenset())
        now = rule.shape.watched
        watched[rule.shape.relation] = None if before is None or now is None else before | frozenset(now)
    return watched


def _same_rows(connection: Connection, text: str) -> bool | None:
    """Tell whether two runs give the same rows, floats aside; None when the statement fails."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET TRANSACTION READ ONLY")
            first, second = (_rows(connection, text) for _ in range(2))
    except psycopg.Error:
        return None
    return first == second


def _rows(connection: Connection, text: str) -> Counter[str]:
    cursor = psycopg.RawCursor(connection)
    cursor.execute(text.encode())
    result = cursor.pgresult
    if result is None:
        return Counter()
    values = ([result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples))
    return Counter(_FLOAT.sub("float", repr(row)) for row in values)
