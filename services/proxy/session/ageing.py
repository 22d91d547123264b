"""For how long may an answer be served that ages: one that the clock or a REFRESH may make out of date? Pure.

Outside of a transaction only. Inside one, `now()` is the moment when the transaction began: every statement in it says
the same, and so do the rows that it writes. That holds from BEGIN to its end, and in a pipeline up to its Sync. A
materialized view may be read at any place where a table may.
"""

from math import inf

from services.proxy.reasons import Reason
from services.proxy.session.demand import demand
from services.proxy.session.requests import Request
from services.proxy.session.state import SessionState
from services.proxy.session.templates import Promise, Template
from services.proxy.sql.ageing import Ageing
from services.proxy.sql.directives import Directives
from services.proxy.sql.inputs import relative_time_input, relative_time_literal
from services.proxy.sql.reasons import Reason as StatementReason

NEVER = inf
"""What does not age may be served for as long as no change evicts it."""


def lifetime(
    request: Request, template: Template, promise: Promise, state: SessionState | None, *, alone: bool
) -> tuple[float, str]:
    """Return for how many seconds after its query was sent an answer may be served; or why it may not be at all.

    Args:
        request: What is asked.
        template: Its statement, which is refused for nothing but that its answers age, if for anything.
        promise: What the cache promises.
        state: The session's state, if it is known.
        alone: The statement is a whole turn, and in no block.
    """
    analysis = template.analysis
    by_value = any(relative_time_input(value) for value in request.values if value is not None)
    by_literal = relative_time_literal(template.lexed)
    by_clock = by_value or by_literal or Ageing.CLOCK in analysis.ageing
    if not by_clock and not analysis.ageing:
        return NEVER, ""
    if not promise.ageing_ttl:
        return 0.0, analysis.reason or StatementReason.RELATIVE_TIME_INPUT
    if by_literal and not (request.simple or request.parses):
        # Postgres reads a literal when it parses the statement: what was prepared yesterday goes on to say so.
        return 0.0, StatementReason.RELATIVE_TIME_INPUT
    if by_clock and not alone:
        return 0.0, Reason.FROZEN_NOW
    seconds = promise.ageing_ttl if state is None else _asked(template.directives, promise, state)
    if not seconds and state is not None and demand(promise, state, template.directives).strong:
        return 0.0, analysis.reason or StatementReason.RELATIVE_TIME_INPUT
    return seconds, "" if seconds else Reason.SKIPPED


def _asked(directives: Directives, promise: Promise, state: SessionState) -> float:
    """Return the cache's time, or less where the session or the statement asks for it.

    Who names a bound, or a level in the statement, means an answer of that moment. One that is strong does not age.
    """
    demanded = demand(promise, state, directives)
    if demanded.strong:
        return 0.0
    asked = [promise.ageing_ttl, directives.ageing_ttl, state.ageing_ttl]
    if directives.consistency is not None or directives.max_staleness is not None or state.max_staleness is not None:
        asked.append(demanded.max_staleness)
    return min(seconds for seconds in asked if seconds is not None)
