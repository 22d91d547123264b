"""May a statement's answer be cached, on what does it depend, and what else does the statement do? Pure.

`analyse` runs once per template, off the hot path. What it says holds for every statement of the same template,
because no literal's value takes part in it; the values are looked at per statement (`inputs.py`, and the tags).
"""

from dataclasses import dataclass, replace

from services.proxy.sql.ageing import ALL_AGEING, NO_AGEING, Ageing
from services.proxy.sql.effect import READS, WIDEST, StatementEffect, statement_effect
from services.proxy.sql.functions import TEXT_SEARCH
from services.proxy.sql.policies import Guard, guarded_rules
from services.proxy.sql.reasons import Reason
from services.proxy.sql.rules import judged, refusal_but_for_policies
from services.proxy.sql.snapshot import Catalog
from services.proxy.sql.statement import NameSpace, Statement, read_statement
from services.proxy.sql.tag_rules import TagRule, tag_rules
from services.proxy.sql.template import Lexed
from services.proxy.sql.tokens import TokenError
from services.proxy.sql.views import tables_read, views_in

__all__ = [
    "Ageing",
    "Analysis",
    "NameSpace",
    "StatementEffect",
    "TagRule",
    "analyse",
    "unanalysable",
]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of a template in a name space.

    Attributes:
        reason: Name of the refusal (`Reason`); empty when cacheable.
        relations: OIDs of the tables that the answer depends on, each once. Materialized views are not among them.
        tag_rules: One per occurrence of a relation.
        fingerprint: Changes with every schema change that touches the statement; part of the entry's key.
        effect: What forwarding it may do.
        names: OIDs of the relations that its identifiers may mean here, sorted; and a number for all text search
            configurations, if it may name one. A statement that was prepared when they meant others goes on to mean
            those: Postgres does not look names up again (see `planning`).
        ageing: What its answers age by. Where there is any, the statement is refused for nothing else, and everything
            is here that is needed to keep its answers where they may age.
        settings: Names of the settings that row security policies read for it, sorted: their values are in the key.
    """

    cacheable: bool
    reason: str
    relations: tuple[int, ...]
    tag_rules: tuple[TagRule, ...]
    fingerprint: str
    effect: StatementEffect
    names: tuple[int, ...] = ()
    ageing: frozenset[Ageing] = NO_AGEING
    settings: tuple[str, ...] = ()


def analyse(lexed: Lexed, catalog: Catalog, session: NameSpace) -> Analysis:
    """Analyse a statement."""
    try:
        statement = read_statement(lexed, catalog, session)
    except TokenError:
        return _refused(Reason.LEX_ERROR, WIDEST)
    effect = statement_effect(statement)
    refusal, guard = judged(statement)
    if refusal is None:
        return _cacheable(statement, guard)
    worse, guard = judged(replace(statement, ageing=ALL_AGEING))
    if worse is not None:
        return _refused(worse, effect, _meant(statement))
    return _ageing(statement, refusal, guard)


def unanalysable() -> Analysis:
    """Return the analysis of a text that cannot be read at all."""
    return _refused(Reason.LEX_ERROR, WIDEST)


def _refused(reason: Reason, effect: StatementEffect, names: tuple[int, ...] = ()) -> Analysis:
    return Analysis(False, reason.value, (), (), "", effect, names)


def _meant(statement: Statement) -> tuple[int, ...]:
    """Return every relation that an identifier of the statement may mean, whatever it stands for in truth."""
    tokens, path = statement.tokens, statement.name_space.schemas
    found: set[int] = set()
    if (TEXT_SEARCH | {"regconfig"}) & {token.text for token in tokens}:
        found.add(statement.catalog.text_search_names)
    for index, token in enumerate(tokens):
        if token.is_name:
            qualified = index >= 2 and tokens[index - 1].is_mark(".") and tokens[index - 2].is_name
            relation = statement.catalog.resolve(tokens[index - 2].text if qualified else "", token.text, path)
            if relation is not None:
                found.add(relation.oid)
    return tuple(sorted(found))


def _ageing(statement: Statement, refusal: Reason, guard: Guard) -> Analysis:
    """Analyse a statement that is refused for nothing but that its answers age."""
    by_clock = refusal_but_for_policies(replace(statement, ageing=frozenset((Ageing.REFRESH,)))) is not None
    by_refresh = refusal_but_for_policies(replace(statement, ageing=frozenset((Ageing.CLOCK,)))) is not None
    found = ((Ageing.CLOCK, by_clock), (Ageing.REFRESH, by_refresh))
    ageing = frozenset(kind for kind, ages in found if ages)
    return replace(_cacheable(statement, guard), cacheable=False, reason=refusal.value, ageing=ageing)


def _cacheable(statement: Statement, guard: Guard) -> Analysis:
    """Analyse a statement whose answers can be evicted.

    A materialized view has no row changes, so no tags: what evicts is its part of the fingerprint.
    """
    catalog = statement.catalog
    read = tables_read(statement)
    refreshed = {oid for oid in read if oid in catalog.by_oid and catalog.by_oid[oid].kind == "m"}
    own = (rule for rule in tag_rules(statement) if rule.shape.relation not in refreshed)
    rules = guarded_rules(own, guard, catalog, refusal_but_for_policies)
    relations = tuple(dict.fromkeys(rule.shape.relation for rule in rules))
    fingerprint = catalog.fingerprint((*relations, *refreshed, *views_in(statement), *guard.views))
    return Analysis(True, "", relations, rules, fingerprint, READS, _meant(statement), settings=guard.settings)
