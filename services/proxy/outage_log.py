"""What the log says of an outage of Postgres: when it begins and ends, and not at each hit."""

import structlog

from services.proxy.cache.outage import Change, Outage

_log = structlog.get_logger()


def tell_outage(outage: Outage, change: Change, serve_stale_for: float, hits_stale: int) -> None:
    """Log a change.

    Args:
        outage: The outage.
        change: What has changed.
        serve_stale_for: As the setting says, in seconds.
        hits_stale: How many answers were served so far although nothing proved them fresh.
    """
    if change is Change.BEGUN and outage.may_serve:
        _log.warning(
            "postgres is down: what is in the cache is served, with a warning, though it may be out of date",
            proven_seconds_ago=round(outage.staleness, 3),
            serve_stale_for=serve_stale_for,
        )
    elif change is Change.BEGUN:
        _log.warning("postgres is down")
    elif change is Change.SPENT:
        _log.warning("postgres is down, and nothing is served any more", serve_stale_for=serve_stale_for)
    elif change is Change.ENDED:
        _log.warning("postgres answers again", down_seconds=round(outage.down_seconds, 3), hits_stale=hits_stale)
