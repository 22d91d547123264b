"""What to do with a turn, before any look at the cache: is it a read that may be cached, and what may it change?

Every read that is not cached has a named reason, which metrics and `tidegate explain` show. Pure.
"""

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from services.proxy.cache.named_rows import NamedRows
from services.proxy.reasons import Reason
from services.proxy.session.ageing import NEVER, lifetime
from services.proxy.session.demand import NOTHING_SERVES, Demand, demand
from services.proxy.session.entry_key import entry_key
from services.proxy.session.held_setting import Held, HeldSetting, held_setting
from services.proxy.session.names import Names
from services.proxy.session.portals import Portals
from services.proxy.session.prepared import Prepared, means_otherwise, was_read_otherwise
from services.proxy.session.requests import Request, bound_before, executed_texts
from services.proxy.session.row_names import rows_written
from services.proxy.session.state import SessionState
from services.proxy.session.templates import Template, Templates
from services.proxy.session.write_token import reads_token
from services.proxy.sql.block_statement import BlockStatement, BlockStep, block_statement
from services.proxy.sql.directives import NO_DIRECTIVES
from services.proxy.sql.local_setting import SET_CONFIG, local_setting
from services.proxy.sql.reasons import Reason as StatementReason
from services.proxy.sql.snapshot import CATALOG_SCHEMA, Catalog
from services.proxy.sql.verdict import NameSpace
from services.shared.pgwire.frontend import Execute, FrontendMessage
from services.shared.runtime.settings import Consistency

# Statements after which a statement name may mean something that no Parse message told. (What is only removed, by
# DEALLOCATE or DISCARD, does nothing when it is used.)
_RENAMES = re.compile(rb"\b(?:prepare|do|call)\b", re.IGNORECASE)


class Effect(NamedTuple):
    """What a turn may change, by the union over its statements.

    Attributes:
        writes: Relations that it may write; None: any.
        session: It may change the session's settings.
        schema: It may change the catalog.
        names: It may give statement names other meanings.
        token: It may show the session's token.
        rows: Of the relations that these are of it writes no other rows. Of one turn; they are not added up.
    """

    writes: frozenset[int] | None
    session: bool = False
    schema: bool = False
    names: bool = False
    token: bool = False
    rows: tuple[NamedRows, ...] = ()

    def union(self, other: "Effect") -> "Effect":
        """Return what both together may change."""
        writes = None if self.writes is None or other.writes is None else self.writes | other.writes
        return Effect(
            writes,
            self.session or other.session,
            self.schema or other.schema,
            self.names or other.names,
            self.token or other.token,
        )


NO_EFFECT = Effect(frozenset())
ANY_EFFECT = Effect(None, session=True, schema=True, names=True)


class Plan(NamedTuple):
    """What is known of one statement.

    Attributes:
        refusal: Why its answer is neither served from the cache nor kept; empty for a cacheable read.
        effect: What it may change.
        request: What it asks, if it has a cacheable form.
        template: The analysis of its statement, for a cacheable read.
        key: The entry's key, for a cacheable read.
        ttl: For how many seconds after its query was sent an answer may be served, where it ages.
        demand: How fresh its answer has to be.
        catalog: Number of the catalog that it rests on (`Templates.number`): what a reading of the next one finds
            changed may be no part of the key.
    """

    refusal: str
    effect: Effect
    request: Request | None = None
    template: Template | None = None
    key: bytes = b""
    ttl: float = NEVER
    catalog: int = 0
    demand: Demand = NOTHING_SERVES

    @property
    def relations(self) -> tuple[int, ...]:
        """What it reads, as far as that is known."""
        return self.template.analysis.relations if self.template is not None else ()

    @property
    def demand_is_its_own(self) -> bool:
        """Whether the statement says itself how fresh its answer has to be."""
        asked = self.template.directives if self.template is not None else NO_DIRECTIVES
        return asked.consistency is not None or asked.max_staleness is not None

    @property
    def ages(self) -> bool:
        """Whether answers may get out of date without a change of a row."""
        return self.ttl != NEVER


class Step(NamedTuple):
    """One statement of a turn that is taken apart: a proven read, or the beginning or the end of a block.

    Attributes:
        request: What it asks.
        message_count: How many messages it has, from where the step before it ends.
        plan: Of a read; None for the others.
        block: What it does to a block; None for the others.
        setting: What it sets for the block that is held back; None for the others.
    """

    request: Request
    message_count: int
    plan: Plan | None = None
    block: BlockStatement | None = None
    setting: HeldSetting | None = None


class Phase(Enum):
    """Where a session is with respect to a block, before a turn."""

    OUTSIDE = "outside"
    HELD = "held"  # in a block whose BEGIN Postgres has not seen
    FAILED = "failed"  # the same, and a read in it has failed
    UPSTREAM = "upstream"  # in a block of Postgres's


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What is known of a turn.

    Attributes:
        steps: What it does, when all of it may be done here or as reads of their own; empty: it is forwarded whole.
        refusal: Why it is forwarded whole.
        effect: What it may change.
        runs_nothing: It prepares, describes or closes, or its statement is empty: it need not be in a block.
    """

    steps: tuple[Step, ...] = ()
    refusal: str = ""
    effect: Effect = NO_EFFECT
    runs_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """What a turn meets.

    Attributes:
        names: What statement names mean in the session.
        unnamed: What the unnamed statement means before the turn.
        portals: What the portals of earlier turns run.
        state: The session's state; None while it is not known.
        last_state: What it was when it was known last.
        templates: Analyses.
        phase: Where the session is with respect to a block.
        may_hold: Whether a BEGIN may be held back now.
        whole: Whether this is a whole turn, and not a part of one.
        held: What has been set for the block that is held back.
    """

    names: Names
    unnamed: Prepared | None
    portals: Portals
    state: SessionState | None
    last_state: SessionState | None
    templates: Templates
    phase: Phase = Phase.OUTSIDE
    may_hold: bool = True
    whole: bool = True
    held: Held = field(default_factory=dict)

    @property
    def name_space(self) -> NameSpace:
        """Where names are looked up.

        Without a state they cannot be resolved: then it is empty, and every relation unknown in it.
        """
        return NameSpace(self.state.schemas, "UTF8") if self.state is not None else NameSpace((), "UTF8")

    @property
    def likely_name_space(self) -> NameSpace:
        """Where names are looked up if nothing has changed since the state was known."""
        state = self.state or self.last_state
        return NameSpace(state.schemas, "UTF8") if state is not None else self.name_space


def plan_turn(
    messages: list[FrontendMessage] | None, requests: list[tuple[Request, int]] | None, setting: Setting
) -> TurnPlan:
    """Plan one turn.

    Args:
        messages: Its messages; None when they could not be read.
        requests: What it asks, statement by statement, when all of it is of a form that a cache can answer.
        setting: What it meets.
    """
    if messages is None:
        return TurnPlan(refusal=Reason.UNREADABLE, effect=ANY_EFFECT)
    if requests is None or setting.phase is Phase.UPSTREAM:
        plan = _plan_whole(messages, setting)
        if setting.phase is not Phase.UPSTREAM:
            return plan
        if requests is not None and len(requests) == 1:
            request = requests[0][0]
            template = setting.templates.find(request.text, setting.likely_name_space)
            plan = replace(plan, effect=with_rows(plan.effect, template, setting.templates.number, request))
        return replace(plan, refusal=Reason.IN_TRANSACTION)
    steps: list[Step] = []
    alone = setting.whole and len(requests) == 1 and setting.phase is Phase.OUTSIDE
    for request, message_count in requests:
        step, refusal, effect = _plan_step(request, message_count, setting, alone=alone)
        if step is None:
            if len(requests) > 1:
                effect = _plan_whole(messages, setting).effect
            empty = len(requests) == 1 and refusal == StatementReason.EMPTY
            return TurnPlan(refusal=refusal, effect=effect, runs_nothing=empty)
        setting = _behind(step, setting)
        steps.append(step)
    return TurnPlan(tuple(steps))


def _behind(step: Step, setting: Setting) -> Setting:
    """Return what the next statement of a turn meets."""
    if step.block is not None:
        phase = Phase.HELD if step.block.step is BlockStep.BEGIN else Phase.OUTSIDE
        return replace(setting, phase=phase, held={})
    if step.setting is not None:
        return replace(setting, held={**setting.held, step.setting.name: step.setting})
    return setting


def _plan_step(
    request: Request, message_count: int, setting: Setting, *, alone: bool
) -> tuple[Step | None, str, Effect]:
    """Plan one statement; without a step there is a refusal."""
    prepared = request.prepared_before
    if prepared is not None and means_otherwise(prepared, setting.templates, setting.name_space):
        return None, Reason.PREPARED_BEFORE, _unsure_effect([prepared], setting.templates, setting.name_space)
    template = setting.templates.find(request.text, setting.name_space)
    if prepared is not None and template is not None and was_read_otherwise(prepared, template, setting.state):
        return None, Reason.PREPARED_BEFORE, _effect(template, request.text)
    block = None if _has_parameters(request) else _held_step(template, setting)
    if block is not None:
        return Step(request, message_count, block=block), "", NO_EFFECT
    held = _set_step(template, request, setting)
    if held is not None:
        return Step(request, message_count, setting=held), "", NO_EFFECT
    effect = with_rows(_effect(template, request.text), template, setting.templates.number, request)
    plan = _plan_read(request, template, effect, setting, alone=alone)
    if not plan.refusal and setting.phase is Phase.FAILED:
        return None, Reason.IN_TRANSACTION, plan.effect
    return (None if plan.refusal else Step(request, message_count, plan)), plan.refusal, plan.effect


def _has_parameters(request: Request) -> bool:
    """Tell whether a request brings parameters: with a statement that has none, that is an error of Postgres's."""
    return bool(request.values or request.parameter_types) or len(request.parameter_formats) > 1


def _held_step(template: Template | None, setting: Setting) -> BlockStatement | None:
    """Return what the statement does to a block, when the proxy may answer it itself."""
    state, phase = setting.state, setting.phase
    if template is None:
        return None
    block = block_statement(template.lexed)
    if block is None:
        return None
    if block.step is BlockStep.BEGIN:
        may = phase is Phase.OUTSIDE and setting.may_hold and state is not None and not state.refusal
    else:
        may = phase in (Phase.HELD, Phase.FAILED)
    return block if may else None


def _set_step(template: Template | None, request: Request, setting: Setting) -> HeldSetting | None:
    """Return what the statement sets for the block that is held back, when Postgres need not know."""
    state, catalog = setting.state, setting.templates.catalog
    if template is None or setting.phase is not Phase.HELD or state is None or catalog is None:
        return None
    found = local_setting(template.lexed)
    if found is None or (found.column and _means_another(setting.name_space, catalog)):
        return None
    return held_setting(found, request, state)


def _means_another(name_space: NameSpace, catalog: Catalog) -> bool:
    """Tell whether set_config may be another function here than Postgres's own."""
    return name_space.schemas[:1] != (CATALOG_SCHEMA,) or SET_CONFIG in catalog.functions.user


def with_rows(effect: Effect, template: Template | None, catalog: int, request: Request) -> Effect:
    """Return the effect of a turn with the rows that its one statement names, if it names some.

    Args:
        effect: What the statement may change.
        template: Its analysis.
        catalog: Number of the reading of the catalog that this rests on.
        request: Its values.
    """
    if not effect.writes or template is None or template.analysis.effect.rows is None:
        return effect
    named = rows_written(template, catalog, request)
    return effect if named is None else effect._replace(rows=(named,))


def _plan_whole(messages: list[FrontendMessage], setting: Setting) -> TurnPlan:
    """Plan a turn that is forwarded as it is: only what it may change is of interest."""
    texts = executed_texts(messages, setting.names, setting.unnamed, setting.portals)
    if texts is None:
        unknown = any(isinstance(message, Execute) for message in messages)
        return TurnPlan(refusal=Reason.PROTOCOL_FORM, effect=ANY_EFFECT._replace(token=unknown))
    before = bound_before(messages, setting.names, setting.unnamed)
    name_space = setting.likely_name_space
    otherwise = [prepared for prepared in before if means_otherwise(prepared, setting.templates, name_space)]
    if otherwise:
        return TurnPlan(refusal=Reason.PREPARED_BEFORE, effect=_unsure_effect(otherwise, setting.templates, name_space))
    effect = NO_EFFECT
    for text in texts:
        effect = effect.union(_effect_of_text(text, setting))
    refusal = Reason.PROTOCOL_FORM if texts else Reason.NO_STATEMENT
    return TurnPlan(refusal=refusal, effect=effect, runs_nothing=not texts)


def _plan_read(request: Request, template: Template | None, effect: Effect, setting: Setting, *, alone: bool) -> Plan:
    state, promise = setting.state, setting.templates.promise
    if template is None:
        return Plan(Reason.NOT_ANALYSED, effect)
    if not template.analysis.cacheable and not template.analysis.ageing:
        return Plan(str(template.analysis.reason), effect)
    ttl, refusal = lifetime(request, template, promise, state, alone=alone)
    if refusal:
        return Plan(refusal, effect)
    if state is None:
        return Plan(Reason.STATE_UNKNOWN, effect)
    if state.refusal:
        return Plan(state.refusal, effect)
    asked = template.directives
    if asked.unknown:
        return Plan(Reason.UNKNOWN_DIRECTIVE, effect)
    demanded = demand(promise, state, asked)
    if asked.skip or demanded.level is Consistency.OFF:
        return Plan(Reason.SKIPPED, effect)
    clock = b"" if ttl == NEVER else promise.clock
    held = {name: one.digest for name, one in setting.held.items()}
    settings = state.digests(template.analysis.settings, held)
    if settings is None:
        return Plan(Reason.STATE_UNKNOWN, effect)
    key = entry_key(request, template.lexed, template.analysis.fingerprint, state.key, clock, settings)
    return Plan("", effect, request, template, key, ttl, setting.templates.number, demanded)


def _unsure_effect(statements: list[Prepared], templates: Templates, name_space: NameSpace) -> Effect:
    """Return what statements may do whose names mean nobody knows what: write anything, change any setting.

    What is no DDL by its text is not taken for it, as in `_effect_of_text`: each execution would keep the session from
    the cache until the catalog has been read again, and what the names mean could never be found out.
    """
    found = NO_EFFECT
    for prepared in statements:
        found = found.union(_effect(templates.find(prepared.text, name_space), prepared.text))
    names = any(_RENAMES.search(prepared.text) is not None for prepared in statements)
    return found._replace(writes=None, session=True, names=names)


def _effect_of_text(text: bytes, setting: Setting) -> Effect:
    """Return what a statement may do, also while the session's state is not known.

    That is so inside a block, behind a write whose triggers may have changed a setting. Names may then mean other
    relations than before, so it may write any; but it takes no DDL for granted, which would keep the session from the
    cache until the catalog has been read again.
    """
    effect = _effect(setting.templates.find(text, setting.likely_name_space), text)
    if setting.state is not None or setting.last_state is None:
        return effect
    return effect._replace(writes=None, session=True)


def _effect(template: Template | None, text: bytes) -> Effect:
    if template is None:
        return ANY_EFFECT._replace(token=reads_token(text))
    effect = template.analysis.effect
    names = effect.changes_session and _RENAMES.search(text) is not None
    return Effect(effect.writes, effect.changes_session, effect.changes_schema, names, template.reads_token)
