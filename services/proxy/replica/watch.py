"""Proves in which history a hot standby is, for sessions that cannot. Consistency contract, section 9.8.

What an ordinary role can read on a standby names its system and how far it has replayed, and not its timeline. The
cache's own role may replicate, so it may ask IDENTIFY_SYSTEM, which says on which timeline the standby *replays*. Two
servers may have begun the same timeline apart from each other; so beside it the canary is compared, which stands in a
logged table too: whoever has replayed it has the beginning of the epoch behind him.

Both are asked after the answer of a read has come. A standby only ever adds to what it has replayed. So when it is
still in the followed history then, it was so when the read's snapshot was taken, whatever it followed in between. That
it is the same server as the session's, both have to say: when it was started, and where it listens.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
import structlog

from services.proxy.cache.follower import Follower
from services.proxy.reasons import Reason
from services.proxy.replica.replay import STARTED_AT_AND_ADDRESS, Server
from services.shared.lsn import NO_LSN, Lsn, parse_lsn
from services.shared.runtime.backoff import Backoff
from services.shared.runtime.upstream import Upstream
from services.shared.runtime.waiting import wait_at_most

_SPACING_SECONDS = 0.002  # answers that come together are proven together
_QUIET_SECONDS = 5.0  # without an answer to prove; keeps the metrics true and the connection known to be there
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 5.0
_MOST_WAITING = 256  # answers; up to `capture_bytes` each

_log = structlog.get_logger()


class Sighting(NamedTuple):
    """What the standby said of itself.

    Attributes:
        server: Which server it is.
        system: System identifier.
        timeline: On which it replays, as eight hexadecimal digits.
        canary: The canary that it has replayed; empty when it has none.
        in_recovery: It is a standby.
        replayed: How far it has replayed.
    """

    server: Server
    system: str
    timeline: str
    canary: str
    in_recovery: bool
    replayed: Lsn


class _Waiting(NamedTuple):
    server: Server
    keep: Callable[[], object]


class ReplicaWatch:
    """The connection of one worker to the standby that its clients' sessions are on.

    Attributes:
        sighting: What was seen last; None while there is no connection.
        sightings: How often it was asked.
    """

    def __init__(self, upstream: Upstream, cache: str, follower: Follower, refused: Counter[str]) -> None:
        """Prepare.

        Args:
            upstream: The standby.
            cache: The cache's name.
            follower: Knows which history is followed.
            refused: Where answers are counted that cannot be kept.
        """
        self._upstream = upstream
        self._query = (
            f"SELECT {STARTED_AT_AND_ADDRESS}, pg_catalog.pg_is_in_recovery(), "  # noqa: S608 - a cache's name is harmless
            "pg_catalog.pg_last_wal_replay_lsn(), "
            f"(SELECT l.canary FROM tidegate.lineage l WHERE l.cache OPERATOR(pg_catalog.=) '{cache}')"
        ).encode()
        self._follower = follower
        self._refused = refused
        self._asked = asyncio.Event()
        self._waiting: list[_Waiting] = []
        self._complaint = ""  # what was logged last, while there is no connection
        self.sighting: Sighting | None = None
        self.sightings = 0

    @property
    def proven(self) -> bool:
        """Whether the standby was in the followed history when it was asked last."""
        return self.sighting is not None and self._is_followed(self.sighting)

    def keep_when_proven(self, server: Server, keep: Callable[[], object]) -> None:
        """Keep an answer once its server has shown, after this moment, that it is in the followed history.

        Args:
            server: Where the answer came from.
            keep: Called then; never, if that cannot be shown.
        """
        if len(self._waiting) >= _MOST_WAITING:
            self._refused[Reason.REPLICA_UNPROVEN] += 1
            return
        self._waiting.append(_Waiting(server, keep))
        self._asked.set()

    async def run(self) -> None:
        """Ask for ever, over as many connections as it takes. Cancel-safe: yes."""
        backoff = Backoff(first=0.05, most=1.0)
        while True:
            connection: psycopg.AsyncConnection[Any] | None = None
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._upstream.url,
                    autocommit=True,
                    replication="database",
                    prepare_threshold=None,  # such a connection knows simple queries only
                    application_name="tidegate-proxy-replica",
                    connect_timeout=_CONNECT_SECONDS,
                )
                await self._ask_until_it_fails(connection, backoff)
            except (psycopg.Error, OSError, ValueError) as error:  # TimeoutError is an OSError
                self._complain(str(error).strip() or repr(error))
            finally:
                self.sighting = None
                self._refuse(self._take())
                if connection is not None:
                    await connection.close()
            await backoff.wait()

    def _complain(self, error: str) -> None:
        """Log why there is no connection: once, and again when it is for something else."""
        if error != self._complaint:
            self._complaint = error
            _log.warning("the replica cannot be asked which history it is in: what it answers is not kept", error=error)

    async def _ask_until_it_fails(self, connection: "psycopg.AsyncConnection[Any]", backoff: Backoff) -> None:
        while True:
            waiting = self._take()  # before the question goes out: what comes later is for the next one
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self.sighting = await self._look(connection)
            except BaseException:
                self._refuse(waiting)
                raise
            self.sightings += 1
            self._complaint = ""
            backoff.reset()
            self._judge(self.sighting, waiting)
            await asyncio.sleep(_SPACING_SECONDS)
            await wait_at_most(self._asked, _QUIET_SECONDS)

    async def _look(self, connection: "psycopg.AsyncConnection[Any]") -> Sighting:
        """Ask; by simple queries, since a connection for replication takes no others."""
        system, timeline, *_ = await _row(connection, b"IDENTIFY_SYSTEM")
        started_at, address, in_recovery, replayed, canary = await _row(connection, self._query)
        return Sighting(
            Server(str(started_at), str(address)),
            str(system),
            f"{int(timeline):08X}",
            str(canary or ""),
            bool(in_recovery),
            parse_lsn(str(replayed)) if replayed else NO_LSN,
        )

    def _judge(self, sighting: Sighting, waiting: list[_Waiting]) -> None:
        followed = self._is_followed(sighting)
        for one in waiting:
            if followed and one.server == sighting.server:
                one.keep()
            else:
                self._refuse([one])

    def _is_followed(self, sighting: Sighting) -> bool:
        stream = self._follower.stream
        if stream is None or not self._follower.epoch or not sighting.in_recovery:
            return False
        seen = (sighting.system, sighting.timeline, sighting.canary)
        return seen == (stream.system, stream.timeline, stream.canary)

    def _take(self) -> list[_Waiting]:
        self._asked.clear()
        waiting, self._waiting = self._waiting, []
        return waiting

    def _refuse(self, waiting: list[_Waiting]) -> None:
        if waiting:
            self._refused[Reason.REPLICA_UNPROVEN] += len(waiting)


async def _row(connection: "psycopg.AsyncConnection[Any]", sql: bytes) -> tuple[Any, ...]:
    """Return the only row.

    Raises:
        ValueError: There is none.
    """
    row = await (await connection.execute(sql)).fetchone()
    if row is None:
        raise ValueError("the replica gave no row")
    return tuple(row)
