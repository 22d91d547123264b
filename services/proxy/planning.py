"""What to do with a turn, before any look at the cache: is it a read that may be cached, and what may it change?

Every read that is not cached has a named reason, which metrics and `tidegate explain` show. Pure.
"""

import re
from dataclasses import dataclass

from services.proxy.entry_key import entry_key
from services.proxy.prepared import Prepared
from services.proxy.reasons import Reason
from services.proxy.requests import Request, bound_before, executed_texts
from services.proxy.session_state import SessionState
from services.proxy.sql.inputs import relative_time_input, relative_time_literal
from services.proxy.sql.verdict import NameSpace
from services.proxy.statements import Names
from services.proxy.templates import Template, Templates
from services.shared.pgwire.frontend import FrontendMessage

# Statements after which a statement name may mean something that no Parse message told.
_RENAMES = re.compile(rb"\b(?:deallocate|discard|prepare|do|call)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a turn may change, by the union over its statements.

    Attributes:
        writes: Relations that it may write; None: any.
        session: It may change the session's settings.
        schema: It may change the catalog.
        names: It may change what statement names mean.
    """

    writes: frozenset[int] | None
    session: bool = False
    schema: bool = False
    names: bool = False

    def union(self, other: "Effect") -> "Effect":
        """Return what both together may change."""
        writes = None if self.writes is None or other.writes is None else self.writes | other.writes
        return Effect(writes, self.session or other.session, self.schema or other.schema, self.names or other.names)


NO_EFFECT = Effect(frozenset())
ANY_EFFECT = Effect(None, session=True, schema=True, names=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a turn.

    Attributes:
        refusal: Why its answer is neither served from the cache nor kept; empty for a cacheable read.
        effect: What it may change.
        request: What it asks, if it has a cacheable form.
        template: The analysis of its statement, for a cacheable read.
        key: The entry's key, for a cacheable read.
    """

    refusal: str
    effect: Effect
    request: Request | None = None
    template: Template | None = None
    key: bytes = b""


def plan_turn(
    messages: list[FrontendMessage] | None,
    request: Request | None,
    names: Names,
    unnamed: Prepared | None,
    state: SessionState | None,
    templates: Templates,
) -> Plan:
    """Plan one turn.

    Args:
        messages: Its messages; None when they could not be read.
        request: What it asks, when it is of a form that a cache can answer.
        names: What statement names mean in the session.
        unnamed: What the unnamed statement means before the turn.
        state: The session's state; None while it is not known.
        templates: Analyses.
    """
    if messages is None:
        return Plan(Reason.UNREADABLE, ANY_EFFECT)
    # Without a state the names cannot be resolved: analyse in an empty name space, where every relation is unknown.
    name_space = NameSpace(state.schemas, "UTF8") if state is not None else NameSpace((), "UTF8")
    if request is not None:
        if request.prepared_before is not None and _means_otherwise(request.prepared_before, templates, name_space):
            return Plan(Reason.PREPARED_BEFORE, ANY_EFFECT)
        template = templates.find(request.text, name_space)
        effect = _effect(template, request.text)
        return _plan_read(request, template, effect, state)
    texts = executed_texts(messages, names, unnamed)
    if texts is None:
        return Plan(Reason.PROTOCOL_FORM, ANY_EFFECT)
    if any(_means_otherwise(prepared, templates, name_space) for prepared in bound_before(messages, names, unnamed)):
        return Plan(Reason.PREPARED_BEFORE, ANY_EFFECT)
    effect = NO_EFFECT
    for text in texts:
        effect = effect.union(_effect(templates.find(text, name_space), text))
    return Plan(Reason.PROTOCOL_FORM if texts else Reason.NO_STATEMENT, effect)


def _plan_read(request: Request, template: Template | None, effect: Effect, state: SessionState | None) -> Plan:
    if template is None:
        return Plan(Reason.NOT_ANALYSED, effect)
    if not template.analysis.cacheable:
        return Plan(str(template.analysis.reason), effect)
    if state is None:
        return Plan(Reason.STATE_UNKNOWN, effect)
    if state.refusal:
        return Plan(state.refusal, effect)
    if _speaks_of_now(request, template):
        return Plan("relative_time_input", effect)
    key = entry_key(request, template.lexed, template.analysis.fingerprint, state.key)
    return Plan("", effect, request, template, key)


def _means_otherwise(prepared: Prepared, templates: Templates, name_space: NameSpace) -> bool:
    """Tell whether a statement was prepared when its names meant other relations than now, or it is not known.

    Postgres resolves names once: a table that appears earlier on the search path later on changes nothing for a
    statement that is prepared already.
    """
    template = templates.find(prepared.text, name_space)
    return template is None or prepared.meaning != template.analysis.names


def _effect(template: Template | None, text: bytes) -> Effect:
    if template is None:
        return ANY_EFFECT
    effect = template.analysis.effect
    names = effect.changes_session and _RENAMES.search(text) is not None
    return Effect(effect.writes, effect.changes_session, effect.changes_schema, names)


def _speaks_of_now(request: Request, template: Template) -> bool:
    values = (value for value in request.values if value is not None)
    return relative_time_literal(template.lexed) or any(relative_time_input(value) for value in values)
