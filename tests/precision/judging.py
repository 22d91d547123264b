"""Was an answer's entry evicted when it had to be? Decided with the proxy's own tags and the invalidator's own plans.

Pure: the answers and the events are those of a real server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from schemas.changes import Changes
from schemas.relation_event import RelationWide
from services.invalidator.planner import Plan, plan_changes, plan_wide
from services.proxy.session.answer_tags import answer_tags
from services.proxy.session.requests import Request
from services.proxy.sql.snapshot import Catalog
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse
from services.shared.pgwire.rows import DataRow
from services.shared.relation import Shape
from tests.precision.case import Query

Answer = tuple[tuple[bytes | None, ...], ...]
"""Rows in text format: sorted, as a multiset, where the query does not say in what order they come."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What would be kept of an answer.

    Attributes:
        tags: Its tags.
        relations: OIDs of what it depends on.
        shapes: What its template's tags rest on.
        early_tags: Its tags as long as row changes are not matched with some of the shapes yet.
    """

    tags: frozenset[str]
    relations: frozenset[int]
    shapes: tuple[Shape, ...]
    early_tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cacheable:
    """A query that is cached."""

    query: Query
    lexed: Lexed
    analysis: Analysis
    request: Request

    def entry(self, answer: Answer) -> Entry:
        """Return what would be kept of an answer."""
        rows = b"".join(DataRow(values).encode() for values in answer)
        found = answer_tags(self.analysis, self.lexed, self.request, rows)
        early = answer_tags(self.analysis, self.lexed, self.request, rows, _is_matched_early)
        shapes = tuple(map(Shape.parse, (*found.shapes, *early.shapes)))
        return Entry(frozenset(found.tags), frozenset(self.analysis.relations), shapes, frozenset(early.tags))


def _is_matched_early(shape_id: str) -> bool:
    """Choose half of all shapes."""
    return blake2b(shape_id.encode(), digest_size=1).digest()[0] % 2 == 0


def cacheable(query: Query, catalog: Catalog, type_oids: Mapping[str, int], schema: str) -> Cacheable | str:
    """Return what is known of a query, or why it is not cached."""
    lexed = lex(query.text)
    analysis = analyse(lexed, catalog, NameSpace(("pg_catalog", schema)))
    if not analysis.cacheable:
        return analysis.reason
    request = Request(
        text=query.text.encode(),
        parameter_types=tuple(type_oids.get(parameter.declared, 0) for parameter in query.parameters),
        parameter_formats=tuple(int(parameter.is_binary) for parameter in query.parameters),
        values=tuple(parameter.value for parameter in query.parameters),
        result_formats=(),
        row_limit=0,
        described=False,
        parses=True,
        sets_unnamed=True,
        unnamed=None,
        simple=False,
        depends_on_unnamed=False,
    )
    return Cacheable(query, lexed, analysis, request)


def shapes_by_relation(entries: Iterable[Entry]) -> dict[int, list[Shape]]:
    """Return the shapes that entries rest on, as they are registered: each once."""
    found: dict[int, dict[str, Shape]] = {}
    for entry in entries:
        for shape in entry.shapes:
            found.setdefault(shape.relation, {})[shape.id] = shape
    return {relation: list(shapes.values()) for relation, shapes in found.items()}


@dataclass(frozen=True, slots=True)
class Eviction:
    """What a transaction evicts.

    Attributes:
        tags: These tags.
        wide: And everything of these relations.
        touched: Relations of which it changed anything: what table-level eviction would evict.
    """

    tags: frozenset[str]
    wide: frozenset[int]
    touched: frozenset[int]

    def evicts(self, entry: Entry) -> bool:
        """Whether it evicts an entry."""
        return not self.tags.isdisjoint(entry.tags) or not self.wide.isdisjoint(entry.relations)

    def misses(self, entry: Entry) -> bool:
        """Whether it leaves an entry alone, with its own tags or with those that it would have had early."""
        if not self.wide.isdisjoint(entry.relations):
            return False
        return self.tags.isdisjoint(entry.tags) or self.tags.isdisjoint(entry.early_tags)

    def touches(self, entry: Entry) -> bool:
        """Whether eviction by tables would evict it."""
        return not self.touched.isdisjoint(entry.relations)


def eviction_of(events: Sequence[Changes | RelationWide], shapes: Mapping[int, Sequence[Shape]]) -> Eviction:
    """Return what the events of a transaction evict."""
    tags: set[str] = set()
    wide: set[int] = set()
    for event in events:
        plan = _plan(event, shapes.get(event.relation, ()))
        tags.update(plan.tags)
        if plan.wide:
            wide.add(event.relation)
    return Eviction(frozenset(tags), frozenset(wide), frozenset(event.relation for event in events))


def _plan(event: Changes | RelationWide, shapes: Sequence[Shape]) -> Plan:
    return plan_wide(event.relation) if isinstance(event, RelationWide) else plan_changes(event, shapes)
