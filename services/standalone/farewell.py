"""What a clean stop takes back: the replication slot, the publication and the canary that the CDC service made.

The CDC service leaves them in place when it is stopped, because a service that is restarted needs them. A stack that
ends for good must not: a slot that nobody reads holds back the primary's WAL.
"""

import asyncio

from services.cdc.errors import ControlError, SetupError
from services.cdc.service import remove
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.logging import get_logger
from services.shared.runtime.settings import CacheSettings

_FIRST_DELAY_SECONDS = 0.1
_PATIENCE_SECONDS = 5.0  # Postgres may still be noticing that a killed service has gone

_log = get_logger(__name__)


async def leave_no_trace(cache: CacheSettings) -> None:
    """Drop what the CDC service made in the database; when that fails, say what is left to do."""
    backoff = Backoff(_FIRST_DELAY_SECONDS, _PATIENCE_SECONDS)
    failure: Exception | None = None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                try:
                    await remove(cache)
                except (ControlError, SetupError) as error:
                    failure = error
                else:
                    return
                await backoff.wait()
    except TimeoutError:
        advice = f"SELECT pg_drop_replication_slot('{cache.slot}'); DROP PUBLICATION IF EXISTS {cache.publication}"
        _log.error("slot and publication may be left in the database", error=failure, advice=advice)
