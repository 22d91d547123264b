"""What Postgres itself says that a statement depends on: three answers, none of which knows our parser.

- *The plan* names the relations that would be scanned. What was pruned is missing from it.
- *`pg_depend`* of a view of the statement names the relations and columns that it refers to, planned or not, and every
  function, operator and type that did not come with Postgres.
- *The view's stored tree* (`pg_rewrite.ev_action`) names what came with Postgres too: functions, the functions behind
  operators and sort orders, those that read and write the text of a type, and the session's values.

Views are followed into the views that they read. All is asked in a transaction that is rolled back.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

_MOST_ROWS = 50_000  # of an answer that is fetched to be compared, as the planner guesses
_ENUM = "e"
_TABLE_OID = "tableoid"  # changes when a row moves to another partition, which is a DELETE and an INSERT
_TEXT_SEARCH = "pg_ts_config"  # of the database or not: every change of it changes the catalog's stamp
_TREES = """
    WITH RECURSIVE views(oid) AS (
        SELECT 'pg_temp.the_view'::regclass::oid
        UNION SELECT d.refobjid FROM views JOIN pg_rewrite r ON r.ev_class = views.oid AND r.ev_type = '1'
            JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid AND c.relkind = 'v'
    )
    SELECT r.oid, r.ev_class, r.ev_action::text FROM views
    JOIN pg_rewrite r ON r.ev_class = views.oid AND r.ev_type = '1'  -- that of SELECT: views may have others for writes
"""
_DEPENDENCIES = """
    SELECT d.refclassid::regclass::text, d.refobjid::int8, d.refobjsubid, a.attname, t.typtype,
        coalesce(k.conrelid, nullif(t.typrelid, 0))::int8, pg_describe_object(d.refclassid, d.refobjid, 0)
    FROM pg_depend d
    LEFT JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
    LEFT JOIN pg_attribute a ON c.oid IS NOT NULL AND a.attrelid = c.oid AND a.attnum = d.refobjsubid
    LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
    LEFT JOIN pg_constraint k ON d.refclassid = 'pg_constraint'::regclass AND k.oid = d.refobjid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = ANY (%s)
        AND NOT (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%s))
"""
_BELOW = """
    WITH RECURSIVE below(top, oid) AS (
        SELECT inhparent, inhrelid FROM pg_inherits
        UNION SELECT below.top, i.inhrelid FROM below JOIN pg_inherits i ON i.inhparent = below.oid
    )
    SELECT top::int8, oid::int8 FROM below
"""
_NAMES = """
    SELECT n.nspname, c.relname, c.oid::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
"""
_FUNCTIONS = "SELECT oid::int8, proname, provolatile FROM pg_proc"
_OPERATORS = "SELECT oid::int8, oprcode::oid::int8 FROM pg_operator"
_TYPES = "SELECT oid::int8, typinput::oid::int8, typoutput::oid::int8, typelem::int8 FROM pg_type"

# EXISTS asks for rows, not for what is in them: a star in it refers to no column, although a stored tree spells it out.
_STAR_IN_EXISTS = re.compile(r"(\bEXISTS\s*\(\s*SELECT\s+)\*(?=\s+FROM\b)", re.IGNORECASE)
_CALLS = re.compile(r":(?:funcid|aggfnoid|winfnoid|opfuncid|hashfuncid) (\d+)")
_OPERATIONS = re.compile(r":(?:opno|eqop|sortop) (\d+)")
_ROW_OPERATIONS = re.compile(r":opnos \(o((?: \d+)+)\)")
_TYPED = re.compile(r":\w*type(?:id)? (\d+)")
_BY_TEXT = re.compile(r"\{COERCEVIAIO\b")
_SESSION_VALUE = re.compile(r"\{(SQLVALUEFUNCTION|NEXTVALUEEXPR|TABLESAMPLECLAUSE|ROWMARKCLAUSE)\b")


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a view of a statement depends on, views followed.

    Attributes:
        columns: For each relation the names of the columns that are referred to; none for its rows alone.
        foreign: Other things of the database, but for enum types.
        steady: Names of the functions that are stable.
        volatile: Names of the functions that are volatile, and of session values.
    """

    columns: Mapping[int, frozenset[str]]
    foreign: tuple[str, ...]
    steady: frozenset[str]
    volatile: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: what it scans, and how many rows the planner expects of it."""

    relations: frozenset[int]
    rows: int

    @property
    def is_large(self) -> bool:
        """Whether its answer is too large to fetch for a comparison."""
        return self.rows > _MOST_ROWS


class _Type(NamedTuple):
    """A type: the functions that read and write its text, and its element's type if it has elements."""

    reads: int
    writes: int
    element: int


class Oracle:
    """Asks one database whose schema stays as it is.

    Args:
        connection: A superuser's, in autocommit.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def plan(self, text: str) -> Plan | None:
        """Return the plan of a statement; None when Postgres does not take it."""
        try:
            with self._connection.transaction(force_rollback=True):
                (row,) = self._connection.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}".encode()).fetchall()
        except psycopg.Error:
            return None
        plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
        if "Plan" not in plan[0]:
            return None  # of a utility statement
        names = (self._oids[name] for name in scanned_relations(plan) if name in self._oids)
        return Plan(frozenset(names), plan[0]["Plan"]["Plan Rows"])

    def dependencies(self, text: str) -> Dependencies | None:
        """Return what a view of a statement depends on; None when no view can be made of it."""
        text = _STAR_IN_EXISTS.sub(r"\1", text)
        try:
            with self._connection.transaction(force_rollback=True):
                view = f"CREATE TEMP VIEW the_view AS SELECT 1 AS one FROM ({text}\n) AS the_statement"
                self._connection.execute(view.encode())
                trees = self._connection.execute(_TREES).fetchall()
                found = self._connection.execute(
                    _DEPENDENCIES, ([rule for rule, _, _ in trees], [view for _, view, _ in trees])
                ).fetchall()
        except psycopg.Error:
            return None
        functions = [self._functions[oid] for _, _, tree in trees for oid in self._called(tree)]
        values = [word for _, _, tree in trees for word in _SESSION_VALUE.findall(tree)]
        columns: dict[int, set[str]] = {}
        foreign: set[str] = set()
        for catalog, oid, number, column, type_kind, of_relation, description in found:
            if catalog == "pg_class":
                columns.setdefault(oid, set()).update([column] if number and column != _TABLE_OID else [])
            elif of_relation:  # the primary key, which lets GROUP BY do without the other columns; the type of its rows
                columns.setdefault(of_relation, set())
            elif type_kind != _ENUM and catalog != _TEXT_SEARCH:
                foreign.add(description)
        return Dependencies(
            {oid: frozenset(names) for oid, names in columns.items()},
            tuple(sorted(foreign)),
            frozenset(name for name, volatility in functions if volatility == "s"),
            tuple(sorted({name for name, volatility in functions if volatility == "v"} | set(values))),
        )

    def below(self, relations: set[int]) -> set[int]:
        """Return relations with their partitions and children of any depth."""
        return relations | {part for relation in relations for part in self._below.get(relation, ())}

    def name(self, oid: int) -> str:
        """Return schema and name of a relation."""
        return next((name for name, found in self._oids.items() if found == oid), str(oid))

    def _called(self, tree: str) -> Iterator[int]:
        """Give the functions that a stored tree calls: by name, by operators, and to read and write text."""
        for found in _CALLS.findall(tree):
            if int(found) in self._functions:
                yield int(found)
        operators = [int(found) for found in _OPERATIONS.findall(tree)]
        operators += [int(found) for listed in _ROW_OPERATIONS.findall(tree) for found in listed.split()]
        yield from (self._operators[oid] for oid in operators if self._operators.get(oid))
        for place in _BY_TEXT.finditer(tree):
            yield self._types[_own_result_type(tree, place.end())].reads
        for type_oid in set(map(int, _TYPED.findall(tree))) & self._types.keys():
            yield self._types[type_oid].writes
            if element := self._types.get(self._types[type_oid].element):
                yield element.writes

    @cached_property
    def _oids(self) -> dict[str, int]:
        return {f"{schema}.{name}": oid for schema, name, oid in self._connection.execute(_NAMES).fetchall()}

    @cached_property
    def _below(self) -> dict[int, set[int]]:
        below: dict[int, set[int]] = {}
        for top, oid in self._connection.execute(_BELOW).fetchall():
            below.setdefault(top, set()).add(oid)
        return below

    @cached_property
    def _functions(self) -> dict[int, tuple[str, str]]:
        return {oid: (name, kind) for oid, name, kind in self._connection.execute(_FUNCTIONS).fetchall()}

    @cached_property
    def _operators(self) -> dict[int, int]:
        return dict(self._connection.execute(_OPERATORS).fetchall())

    @cached_property
    def _types(self) -> dict[int, "_Type"]:
        return {oid: _Type(*functions) for oid, *functions in self._connection.execute(_TYPES).fetchall()}


def _own_result_type(tree: str, at: int) -> int:
    """Return the result type of the node that is open at a place: that of the nodes inside it comes before."""
    depth = 0
    for place in re.finditer(r"(?<!\\)[{}]|:resulttype (\d+)", tree[at:]):
        if place[0] in "{}":
            depth += 1 if place[0] == "{" else -1
        elif depth == 0:
            return int(place[1])
    raise ValueError("the tree ends inside a node")


def scanned_relations(plan: Any) -> Iterator[str]:
    """Give the relations that a plan in JSON reads, with their schemas."""
    if isinstance(plan, list):
        for part in plan:
            yield from scanned_relations(part)
    elif isinstance(plan, dict):
        if "Relation Name" in plan:
            yield f"{plan['Schema']}.{plan['Relation Name']}"
        for part in plan.values():
            yield from scanned_relations(part)
