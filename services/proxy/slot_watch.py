"""Gives up the replication slot rather than the disk of the primary (H34).

A slot keeps WAL back for a CDC service that may be dead, stopped or far behind. To a cache that history is worth next
to nothing: without it the cache begins empty. So the first worker of each proxy looks at the slot now and then, and
drops one that nobody has used for long, or that keeps back more than it may. A CDC service that comes back makes
another, and a new stream epoch with it.

Whoever takes the slot and fails, again and again at the same place, does not use it: WAL is kept back for nobody.
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
import structlog

from services.proxy.control import CONTROL_ERRORS, ConnectControl
from services.shared.runtime.backoff import Backoff

_LOOK_SECONDS = 10.0
_LOOKS_IN_PATIENCE = 10
_MOVES_SECONDS = 60.0  # within which a slot whose reader keeps up lets go of WAL, unless a transaction stays open
_RELEASE_SECONDS = 5.0  # for a walsender that was told to end
_RELEASE_POLL_SECONDS = 0.05
_IN_USE = "55006"

# Only a slot that we would make: of our plugin, in our database. A lost one keeps nothing back.
_LOOK = """
    SELECT s.active_pid, s.confirmed_flush_lsn::text AS confirmed,
           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.restart_lsn)::int8 AS kept_bytes,
           pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.confirmed_flush_lsn)::int8 AS behind_bytes
    FROM pg_replication_slots s
    WHERE s.slot_name = $1 AND s.plugin = 'pgoutput' AND s.database = current_database() AND s.restart_lsn IS NOT NULL
"""
_DROP = """
    SELECT pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s
    WHERE s.slot_name = $1 AND s.plugin = 'pgoutput' AND s.database = current_database()
"""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a slot may cost.

    Attributes:
        patience: Seconds for which nobody need use it; 0: for ever.
        kept_bytes: WAL that it may keep back; 0: any amount.
    """

    patience: float
    kept_bytes: int

    def reason(self, behind_bytes: int, unused_seconds: float, too_large_seconds: float) -> str:
        """Return why a slot has to go; empty when it may stay.

        Args:
            behind_bytes: WAL that its reader has not confirmed.
            unused_seconds: How long nobody has used it.
            too_large_seconds: How long it has kept back more than it may.
        """
        if self.kept_bytes and behind_bytes > self.kept_bytes:
            return "its reader is further behind than slot_limit"
        if too_large_seconds > _MOVES_SECONDS:
            return "it keeps back more WAL than slot_limit, for a transaction that stays open"
        return "nobody has used it for slot_patience" if self.patience and unused_seconds > self.patience else ""


class Use:
    """Whether a slot is used, by what is seen of it now and then. Pure.

    A reader uses it that has got further since the last look, or is the same one as at the last look.
    """

    def __init__(self, now: float) -> None:
        self._used_at = now
        self._reader: int | None = None
        self._confirmed: str | None = None

    def looked(self, now: float, reader: int | None, confirmed: str | None) -> float:
        """Take what is seen at a time, in seconds: the process that reads, and what it has confirmed.

        Returns:
            Seconds for which nobody has used the slot.
        """
        if confirmed != self._confirmed or (reader is not None and reader == self._reader):
            self._used_at = now
        self._reader, self._confirmed = reader, confirmed
        return now - self._used_at

    def gone(self, now: float) -> None:
        """Take that there is no slot."""
        self._used_at, self._reader, self._confirmed = now, None, None


class SlotWatch:
    """Watches the slot of one cache.

    Attributes:
        slots_given_up: How many slots were dropped.
        kept_bytes: WAL that the slot keeps back, at the last look.
    """

    def __init__(self, connect: ConnectControl, slot: str, limits: Limits) -> None:
        self._connect = connect
        self._slot = slot
        self._limits = limits
        patient = limits.patience or _LOOKS_IN_PATIENCE * _LOOK_SECONDS
        self._look_seconds = min(_LOOK_SECONDS, patient / _LOOKS_IN_PATIENCE)
        self._small_at = time.monotonic()
        self._use = Use(self._small_at)
        self.slots_given_up = 0
        self.kept_bytes = 0

    async def run(self) -> None:
        """Watch for ever. Cancel-safe: yes."""
        backoff = Backoff(first=0.1, most=_LOOK_SECONDS)
        while True:
            connection: asyncpg.Connection | None = None
            try:
                connection = await self._connect("slot-watch")
                while True:
                    await self._look(connection)
                    backoff.reset()
                    await asyncio.sleep(self._look_seconds)
            except CONTROL_ERRORS as error:
                _log.debug("the replication slot cannot be watched", error=repr(error))
            finally:
                if connection is not None:
                    connection.terminate()
            await backoff.wait()

    async def _look(self, connection: asyncpg.Connection) -> None:
        now = time.monotonic()
        slot = await connection.fetchrow(_LOOK, self._slot)
        self.kept_bytes = 0 if slot is None else int(slot["kept_bytes"])
        if not self._limits.kept_bytes or self.kept_bytes <= self._limits.kept_bytes:
            self._small_at = now
        if slot is None:
            self._use.gone(now)
            return
        behind = int(slot["behind_bytes"] or 0)
        unused = self._use.looked(now, slot["active_pid"], slot["confirmed"])
        reason = self._limits.reason(behind, unused, now - self._small_at)
        if reason:
            await self._give_up(connection, reason)

    async def _give_up(self, connection: asyncpg.Connection, reason: str) -> None:
        """End whoever uses the slot, and drop it before it is used again."""
        give_up_at = time.monotonic() + _RELEASE_SECONDS
        while time.monotonic() < give_up_at:
            slot = await connection.fetchrow(_LOOK, self._slot)
            if slot is None:
                return  # somebody else was faster
            if slot["active_pid"] is not None:
                await connection.execute("SELECT pg_terminate_backend($1)", slot["active_pid"])
            try:
                await connection.execute(_DROP, self._slot)
            except asyncpg.PostgresError as error:
                if error.sqlstate != _IN_USE:
                    raise
                await asyncio.sleep(_RELEASE_POLL_SECONDS)
                continue
            self.slots_given_up += 1
            _log.warning(
                "the replication slot was dropped, the cache begins cold when changes are followed again",
                slot=self._slot,
                reason=reason,
                kept_bytes=self.kept_bytes,
            )
            return
        _log.warning("the replication slot cannot be dropped: it is used again and again", slot=self._slot)
