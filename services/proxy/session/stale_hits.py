"""Hits while Postgres is down: which reads get an answer that nothing proves fresh, and what is said with it.

The bound on freshness is all that `serve_stale_for` lifts. The answer still has to be valid, of the history that this
session and the cache last saw, by a catalog that nobody is known to have changed since, of a template none of whose
answers was proven wrong, and no own write of the session may be missing in it. What asks for a level or a bound of its
own above what the cache promises gets no such answer.
"""

from math import ceil

from services.proxy.cached_database import CachedDatabase
from services.proxy.session.planning import Plan
from services.proxy.session.state import SessionState
from services.shared.pgwire.notice import error_response, notice_response
from services.shared.pgwire.sqlstate import Sqlstate
from services.shared.runtime.settings import Consistency


def serves_stale(database: CachedDatabase, plan: Plan, state: SessionState | None) -> bool:
    """Tell whether a read may be served now although nothing proves its answer fresh, if there is one.

    What the session has changed itself is looked at beside this: see `Lookup.serves_stale`.

    Args:
        database: The cache.
        plan: The read.
        state: The session's state, as Postgres said it last.
    """
    if not database.outage.serves or state is None or plan.template is None:
        return False
    return (
        database.follower.matches(state.timeline, state.canary)
        and not database.uncached_relation(plan.template.analysis.relations)
        and database.catalog_watch.undoubted
        and plan.template.lexed.template not in database.quarantine.templates
        and not _asks_for_more(database, plan)
    )


def _asks_for_more(database: CachedDatabase, plan: Plan) -> bool:
    """Tell whether the session or the statement asks for a stricter level, or a bound of its own that has passed."""
    bound = plan.demand.max_staleness
    if bound != database.settings.max_staleness and bound < database.outage.staleness:
        return True
    return plan.demand.level not in (Consistency.BOUNDED, Consistency.SESSION)


def warning(staleness: float) -> bytes:
    """Return the message that goes in front of such an answer.

    It is sent whatever client_min_messages says: the answer is outside of what the cache promises.

    Args:
        staleness: How far out of date the answer may be, in seconds.
    """
    return notice_response(
        "WARNING",
        Sqlstate.WARNING,
        f"tidegate: Postgres is down; this answer may be up to {ceil(staleness)} s out of date",
        hint="The cache's setting serve_stale_for allows it.",
    ).encode()


UNANSWERABLE = error_response(
    "ERROR",
    Sqlstate.SYSTEM_ERROR,
    "tidegate: Postgres is down, and the cache has no answer to this that may be served",
    detail="The session has lost its connection to Postgres. It goes on with what is in the cache (serve_stale_for), "
    "and ends when Postgres is back.",
).encode()
"""To all else that a session asks for whose connection is lost. Not FATAL, and of a class for which pools keep the
connection: they drop it for 08xxx and 57P01 to 57P03, and with it the only way to the hits (ADR 15)."""

BLOCK_FAILED = error_response(
    "ERROR",
    Sqlstate.IN_FAILED_SQL_TRANSACTION,
    "current transaction is aborted, commands ignored until end of transaction block",
).encode()
"""In Postgres's words."""
