"""What there is to say of a statement: the verdict, what it reads, what evicts its answer, what would make it narrower.

Pure. Everything is taken from the analysis that the proxy itself goes by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.proxy.sql.ageing import Ageing
from services.proxy.sql.inputs import relative_time_literal
from services.proxy.sql.lexer import LexError
from services.proxy.sql.reasons import ADVICE, Reason
from services.proxy.sql.snapshot import Catalog, Relation
from services.proxy.sql.statement import NameSpace
from services.proxy.sql.tag_rules import TagRule
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.value_sources import Bounds, LiteralSource, ValueSource
from services.proxy.sql.verdict import analyse, unanalysable
from services.shared.runtime.quantities import format_duration

_FULL_IDENTITY = "f"


@dataclass(frozen=True, slots=True)
class Dependency:
    """How an answer depends on one table, for one place where the statement reads it.

    Attributes:
        table: Its name with its schema.
        rows: Which rows of it matter: `customer_id = 7 and status = 'open'`; empty for all.
        columns: Columns of which an update has to touch one to matter; None: any update does.
        evicted_by: What evicts the answer, sentence by sentence.
        narrower: What would make it narrower; empty where nothing would.
    """

    table: str
    rows: str
    columns: tuple[str, ...] | None
    evicted_by: tuple[str, ...]
    narrower: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say.

    Attributes:
        template: The statement without its literals.
        cacheable: Whether its answers may be kept.
        reason: Why not, by name; empty when they may.
        advice: What that means, and what helps.
        dependencies: What they depend on.
        ageing: What they age by without a change of a row: clock, refresh.
        ttl_seconds: For how long they may be served for that reason; None: there is none.
    """

    template: str
    cacheable: bool
    reason: str
    advice: str
    dependencies: tuple[Dependency, ...] = ()
    ageing: tuple[str, ...] = ()
    ttl_seconds: float | None = None


_AGES_BY = {
    Ageing.CLOCK: "the time moves on (only outside of transactions and pipelines)",
    Ageing.REFRESH: "materialized views are refreshed (which evicts it as well, as soon as the proxy sees it)",
}


def explain(text: str, catalog: Catalog, name_space: NameSpace, ageing_ttl: float = 0.0) -> Explanation:
    """Explain a statement.

    Args:
        text: The statement.
        catalog: The catalog of its database.
        name_space: How its names are resolved.
        ageing_ttl: For how many seconds answers may be kept that age.
    """
    try:
        lexed = lex(text)
        analysis = analyse(lexed, catalog, name_space)
    except LexError:
        lexed, analysis = Lexed.empty(), unanalysable()
    reason, ageing = analysis.reason, analysis.ageing
    if (not reason or ageing) and relative_time_literal(lexed):
        reason, ageing = reason or Reason.RELATIVE_TIME_INPUT, ageing | {Ageing.CLOCK}
    if reason and not (ageing and ageing_ttl):
        return Explanation(lexed.template, False, reason, ADVICE[Reason(reason)], (), tuple(sorted(ageing)))
    depends = (_dependency(rule, catalog.by_oid, lexed) for rule in analysis.tag_rules)
    ttl = ageing_ttl if ageing else None
    return Explanation(lexed.template, True, "", "", tuple(dict.fromkeys(depends)), tuple(sorted(ageing)), ttl)


def lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines for a person."""
    if not explanation.cacheable:
        yield f"forwarded: {explanation.reason}"
        yield f"  {explanation.advice}"
        return
    if explanation.ttl_seconds is None:
        yield "cached"
    else:
        yield f"cached for at most {format_duration(explanation.ttl_seconds)} (ageing_ttl), since"
        for kind in explanation.ageing:
            yield f"  {_AGES_BY[Ageing(kind)]}"
    for dependency in explanation.dependencies:
        yield f"  {dependency.table}" + (f" where {dependency.rows}" if dependency.rows else "")
        for sentence in dependency.evicted_by:
            yield f"    evicted by {sentence}"
        if dependency.narrower:
            yield f"    narrower: {dependency.narrower}"


def _dependency(rule: TagRule, relations: Mapping[int, Relation], lexed: Lexed) -> Dependency:
    shape = rule.shape
    relation = relations[shape.relation]
    table = f"{relation.schema}.{relation.name}"
    held = {column.name: sources for column, sources in zip(shape.columns, rule.sources, strict=True)}
    said = [_equality(name, sources, lexed) for name, sources in held.items()]
    if shape.ranged is not None:
        held[shape.ranged.name] = ()
        said += _range(shape.ranged.name, rule.bounds, lexed)
    if rule.page is not None:
        end = "from the last row's on" if rule.page.is_descending else "up to the last row's"
        said.append(f"{rule.page.column.name} {end}, if the page is full")
    rows = " and ".join(said)
    full = relation.identity == _FULL_IDENTITY
    untold = [name for name in held if not full and name not in relation.identity_columns]
    return Dependency(
        table,
        rows,
        shape.watched,
        tuple(_evicted_by(rows, untold, shape.watched)),
        _narrower(table, held, untold, full),
    )


def _evicted_by(rows: str, untold: Sequence[str], watched: tuple[str, ...] | None) -> Iterator[str]:
    touching = ""
    if watched is not None:
        touching = f" that touches {' or '.join(watched)}" if watched else ""
    if not rows:
        yield "INSERT, DELETE and TRUNCATE of any row"
        if watched != ():
            yield f"any UPDATE{touching}"
        return
    yield "INSERT of such a row, TRUNCATE"
    if untold:
        yield f"any UPDATE or DELETE: they do not tell the old {' and '.join(untold)}"
    else:
        yield "DELETE of such a row"
        yield f"an UPDATE of such a row, or into one{touching}"


def _narrower(table: str, held: Mapping[str, object], untold: Sequence[str], full: bool) -> str:
    if untold:
        return f"ALTER TABLE {table} REPLICA IDENTITY FULL (more WAL), so that changes tell the old values"
    if held or full:
        return ""
    return "hold a column equal to a value (=, IN, = ANY), or name columns in place of *, with REPLICA IDENTITY FULL"


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
