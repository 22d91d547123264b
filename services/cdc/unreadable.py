"""What to do about a change stream that holds what cannot be read.

Nothing is skipped: what is not understood may be a change that an answer depends on. So the incarnation ends, Postgres
keeps the WAL, and the next incarnation meets the same bytes again, until a version that knows them runs, or the slot is
made anew, by a person or by a proxy that gives it up (`slot_patience`, `slot_limit`); a new slot begins a new, cold
stream epoch behind them. Meanwhile no watermark passes, so every read is forwarded. All that is left to do here is to
come back less and less often, and to say what is going on.
"""

from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.replication.errors import FrameError
from services.shared.runtime.backoff import Backoff

UNREADABLE = (PgoutputError, FrameError)

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0
"""Each attempt takes the slot, writes to WAL and event log, and reads up to the same place. The slot is to look unused
to whoever watches it: it keeps WAL back for nobody."""


class UnreadableStream:
    """Attempts at one place of the stream."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._confirmed = -1
        self.backoff = Backoff(FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS)

    def met(self, confirmed: int) -> None:
        """Note that it was met again.

        Args:
            confirmed: What Postgres was told to forget. If that has moved, it is another place.
        """
        if confirmed != self._confirmed:
            self._confirmed = confirmed
            self.backoff.reset()

    def explain(self, error: Exception) -> str:
        """Say in one sentence what is wrong and what to do."""
        return ": ".join(way_out(self._slot, error))


def way_out(slot: str, error: Exception) -> tuple[str, str]:
    """Say in plain words what is wrong, and what to do.

    Args:
        slot: Name of the replication slot.
        error: What cannot be read.
    """
    return (
        f"The change stream holds what this version of Tidegate cannot read ({error}). Nothing is skipped, so it comes "
        "again at every attempt, and nothing is cached until it is past",
        f"run a version of Tidegate that knows this version of Postgres; or SELECT pg_drop_replication_slot('{slot}'), "
        "after which the cache begins cold (a proxy does that after slot_patience)",
    )
