"""What there is to say of a statement: the verdict, what it reads, what evicts its answer, what would make it narrower.

Pure. Everything is taken from the analysis that the proxy itself goes by.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from services.proxy.explain.culprit import culprit
from services.proxy.explain.narrowing import (
    Indexes,
    Place,
    decisive,
    either,
    narrowing,
    tables_of,
    untold,
    with_full_identity,
)
from services.proxy.explain.tags import Tag, tags_of
from services.proxy.sql.ageing import ALL_AGEING, Ageing
from services.proxy.sql.inputs import relative_time_input
from services.proxy.sql.lexer import LexError
from services.proxy.sql.reasons import ADVICE, Reason
from services.proxy.sql.rules import judged
from services.proxy.sql.snapshot import Catalog, Relation
from services.proxy.sql.statement import NameSpace, Statement, read_statement
from services.proxy.sql.tag_rules import TagRule
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.tokens import TokenKind
from services.proxy.sql.value_sources import Bounds, LiteralSource, ValueSource
from services.proxy.sql.verdict import Analysis, analyse, unanalysable
from services.proxy.sql.views import tables_of_view, views_in
from services.shared.runtime.quantities import format_duration

_NO_INDEXES: Indexes = {}
_NAMED = 3
_NAMED_TAGS = 8
_VIEW_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Dependency:
    """How an answer depends on one table, for one place where the statement reads it.

    Attributes:
        table: Its name with its schema.
        views: Views through which it is read there.
        rows: Which rows of it matter: `customer_id = 7 and status = 'open'`; empty for all.
        columns: Columns of which an update has to touch one to matter; None: any update does.
        tags: What the answer carries, and a change that evicts it has.
        evicted_by: What evicts the answer, sentence by sentence.
        narrower: What would make it narrower, sentence by sentence; empty where nothing would.
        shows_keys: Whether it also carries tags of the keys of the rows that it shows.
    """

    table: str
    views: tuple[str, ...]
    rows: str
    columns: tuple[str, ...] | None
    tags: tuple[Tag, ...]
    evicted_by: tuple[str, ...]
    narrower: tuple[str, ...] = ()
    shows_keys: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A view that the statement reads, with what it was expanded to."""

    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say.

    Attributes:
        template: The statement without its literals.
        cacheable: Whether its answers may be kept.
        reason: Why not, by name; empty when they may.
        culprit: What in the statement that is about; empty where that cannot be told.
        advice: What it means, and what helps.
        parameters: How many parameters it has.
        dependencies: What its answers depend on.
        views: The views that it reads, those in their definitions among them.
        ageing: What they age by without a change of a row: clock, refresh.
        ttl_seconds: For how long they may be served for that reason; None: there is none.
        settings: Settings that row security policies read: each value has answers of its own.
    """

    template: str
    cacheable: bool
    reason: str
    culprit: str
    advice: str
    parameters: int = 0
    dependencies: tuple[Dependency, ...] = ()
    views: tuple[View, ...] = ()
    ageing: tuple[str, ...] = ()
    ttl_seconds: float | None = None
    settings: tuple[str, ...] = ()


_AGES_BY = {
    Ageing.CLOCK: "the time moves on (only outside of transactions and pipelines)",
    Ageing.REFRESH: "materialized views are refreshed (which evicts it as well, as soon as the proxy sees it)",
}


def explain(
    text: str,
    catalog: Catalog,
    name_space: NameSpace,
    ageing_ttl: float = 0.0,
    parameters: Sequence[str] = (),
    indexes: Indexes = _NO_INDEXES,
) -> Explanation:
    """Explain a statement.

    Args:
        text: The statement.
        catalog: The catalog of its database.
        name_space: How its names are resolved.
        ageing_ttl: For how many seconds answers may be kept that age.
        parameters: Values of its parameters as text, or none.
        indexes: Indexes that could be replica identities.
    """
    try:
        lexed = lex(text)
        analysis = analyse(lexed, catalog, name_space)
    except LexError:
        lexed, analysis = Lexed.empty(), unanalysable()
    reason, about, ageing = analysis.reason, "", analysis.ageing
    relative = _relative_inputs(lexed, parameters)
    if relative and (not reason or ageing):
        about = "" if reason else relative[0]
        reason, ageing = reason or Reason.RELATIVE_TIME_INPUT, ageing | {Ageing.CLOCK}
    if reason == Reason.LEX_ERROR:
        return Explanation(lexed.template, False, reason, "", ADVICE[Reason.LEX_ERROR])
    statement = read_statement(lexed, catalog, name_space)
    count, ages_by = _parameter_count(statement), tuple(sorted(ageing))
    if reason and not (ageing and ageing_ttl):
        patient = replace(statement, ageing=ALL_AGEING)  # what is worse than to age
        about = about or culprit(statement, Reason(reason)) or culprit(patient, Reason(reason))
        _, guard = judged(patient)
        about = guard.refused.name if guard.refused is not None else about
        advice = ADVICE[Reason(reason)]
        return Explanation(lexed.template, False, reason, about, advice, count, ageing=ages_by)
    places = _places(statement, analysis, name_space)
    found = dict.fromkeys(_dependency(place, parameters, analysis, indexes) for place in places)
    ttl = ageing_ttl if ageing else None
    return Explanation(
        lexed.template, True, "", "", "", count, tuple(found), _views(statement), ages_by, ttl, analysis.settings
    )


def lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines for a person."""
    if not explanation.cacheable:
        yield f"forwarded: {explanation.reason}" + (f" ({explanation.culprit})" if explanation.culprit else "")
        yield f"  {explanation.advice}"
        return
    if explanation.ttl_seconds is None:
        yield "cached"
    else:
        yield f"cached for at most {format_duration(explanation.ttl_seconds)} (ageing_ttl), since"
        for kind in explanation.ageing:
            yield f"  {_AGES_BY[Ageing(kind)]}"
    for setting in explanation.settings:
        yield f"  for each value of {setting} by itself"
    for dependency in explanation.dependencies:
        through = f" (through the view {' and '.join(dependency.views)})" if dependency.views else ""
        yield f"  {dependency.table}{through}" + (f" where {dependency.rows}" if dependency.rows else "")
        yield f"    tags {', '.join(dict.fromkeys(tag.words for tag in dependency.tags))}"
        for sentence in dependency.evicted_by:
            yield f"    evicted by {sentence}"
        for sentence in dependency.narrower:
            yield f"    narrower: {sentence}"
    for view in explanation.views:
        cut = f"{view.definition[:_VIEW_CHARACTERS]} …" if len(view.definition) > _VIEW_CHARACTERS else view.definition
        yield f"  the view {view.name} is {cut}"
    tags = dict.fromkeys(tag.tag for dependency in explanation.dependencies for tag in dependency.tags)
    shows_keys = any(dependency.shows_keys for dependency in explanation.dependencies)
    by_rows = " (beside changes of rows that it shows)" if shows_keys else ""
    if not tags:
        return  # only materialized views are read
    if all(tags) and len(tags) <= _NAMED_TAGS:
        yield f"  to see what evicts it{by_rows}: tidegate tail {' '.join(f'--tag {tag!r}' for tag in tags)}"
    elif all(tags):
        yield f"  to see what evicts it{by_rows}: tidegate explain --json … | tidegate tail --explained -"
    else:
        yield "  to see what evicts it: give --param VALUE for each parameter, and this will say how"


def _relative_inputs(lexed: Lexed, parameters: Sequence[str]) -> list[str]:
    """Return the literals and parameters that may be moments relative to now."""
    literals = [literal.text for literal in lexed.literals if relative_time_input(literal.value or "")]
    return [*literals, *(f"${number}" for number, value in enumerate(parameters, 1) if relative_time_input(value))]


def _parameter_count(statement: Statement) -> int:
    return max((token.number for token in statement.tokens if token.kind is TokenKind.PARAMETER), default=0)


def _places(statement: Statement, analysis: Analysis, name_space: NameSpace) -> Iterator[Place]:
    """Give the places that the rules are for, in their order: one for each table, and for each table of a view."""
    relations = statement.catalog.by_oid
    full = analyse(statement.lexed, with_full_identity(statement.catalog), name_space).tag_rules
    if [rule.shape.relation for rule in full] != [rule.shape.relation for rule in analysis.tag_rules]:
        full = analysis.tag_rules  # they cannot be compared
    numbers = _occurrences(statement)
    for rule, with_full in zip(analysis.tag_rules, full, strict=True):
        left = numbers.get(rule.shape.relation, [None])
        number = left.pop(0) if len(left) > 1 else left[0]  # an occurrence has a rule for each of its alternatives
        yield Place(statement, number, rule, with_full, relations[rule.shape.relation])


def _occurrences(statement: Statement) -> dict[int, list[int | None]]:
    """Return for each table the occurrences that there are rules for, in their order; None: inside a view."""
    found: dict[int, list[int | None]] = {}
    for number, relation in enumerate(statement.relations):
        if relation is not None and relation.kind == "v":
            for oid in tables_of_view(statement.catalog, relation.oid):
                found.setdefault(oid, []).append(None)
        elif relation is not None:
            found.setdefault(relation.oid, []).append(number)
    return found


def _views(statement: Statement) -> tuple[View, ...]:
    catalog = statement.catalog
    return tuple(
        View(_called(catalog.by_oid[oid]), " ".join(catalog.views.get(oid, "").split()).rstrip(";"))
        for oid in views_in(statement)
    )


def _dependency(place: Place, parameters: Sequence[str], analysis: Analysis, indexes: Indexes) -> Dependency:
    statement, rule = place.statement, place.rule
    tags, wide = tags_of(place, parameters, analysis)
    if wide:  # these values cannot be matched, so that any change of the table counts
        rule = TagRule(replace(rule.shape, columns=(), watched=None, ranged=None))
    held = {column.name: sources for column, sources in zip(rule.shape.columns, rule.sources, strict=True)}
    said = [_equality(name, sources, statement.lexed) for name, sources in held.items()]
    if rule.shape.ranged is not None:
        said += _range(rule.shape.ranged.name, rule.bounds, statement.lexed)
    if rule.page is not None:
        end = "from the last row's on" if rule.page.is_descending else "up to the last row's"
        said.append(f"{rule.page.column.name} {end}, if the page is full")
    rows = " and ".join(said)
    views = [] if place.occurrence is not None else _views_with(statement, place.relation)
    return Dependency(
        _called(place.relation),
        tuple(views),
        rows,
        rule.shape.watched,
        tags,
        tuple(_evicted_by(rows, rule, tables_of(place.relation, statement.catalog))),
        tuple(narrowing(place, indexes)),
        rule.key is not None,
    )


def _views_with(statement: Statement, table: Relation) -> list[str]:
    """Name the views of a statement that read a table."""
    views = [relation for relation in statement.relations if relation is not None and relation.kind == "v"]
    names = [_called(view) for view in views if table.oid in tables_of_view(statement.catalog, view.oid)]
    return list(dict.fromkeys(names))


def _called(relation: Relation) -> str:
    return f"{relation.schema}.{relation.name}"


def _evicted_by(rows: str, rule: TagRule, tables: Sequence[Relation]) -> Iterator[str]:
    watched, touching = rule.shape.watched, ""
    if watched is not None:
        touching = f" that touches {either(watched)}" if watched else ""
    if not rows:
        yield "INSERT, DELETE and TRUNCATE of any row"
        if watched != ():
            yield f"any UPDATE{touching}"
        return
    yield "INSERT of such a row, TRUNCATE"
    silent = {table.oid: missing for table in tables if (missing := untold(decisive(rule), table))}
    where = "" if len(silent) == len(tables) else f" of {_some([_called(t) for t in tables if t.oid in silent])}"
    names = list(dict.fromkeys(name for missing in silent.values() for name in missing))
    if silent and rule.key is not None:
        key = " and ".join(column.name for column in rule.key.shape.columns)
        yield f"UPDATE or DELETE{where} of a row that it shows, by its {key}, and an UPDATE into such a row{touching}"
    elif silent:
        yield f"any UPDATE or DELETE{where}: they do not tell the old {' and '.join(names)}"
    if len(silent) < len(tables):
        elsewhere = " elsewhere" if silent else ""
        yield f"DELETE of such a row{elsewhere}"
        yield f"an UPDATE of such a row, or into one{touching}{elsewhere}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _equality(name: str, sources: Sequence[ValueSource], lexed: Lexed) -> str:
    values = [_value(source, lexed) for source in sources]
    if len(values) == 1:
        return f"{name} = ANY ({values[0]})" if sources[0].is_array else f"{name} = {values[0]}"
    return f"{name} IN ({', '.join(values)})"


def _range(name: str, bounds: Bounds, lexed: Lexed) -> Iterator[str]:
    for source in bounds.low:
        yield f"{name} >= {_value(source, lexed)}"
    for source in bounds.high:
        yield f"{name} <= {_value(source, lexed)}"


def _value(source: ValueSource, lexed: Lexed) -> str:
    return lexed.literals[source.index].text if isinstance(source, LiteralSource) else f"${source.index + 1}"
