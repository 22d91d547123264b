"""Plays a history and judges it, twice.

*The cache* is judged behind every step in which something committed: once the proxy can prove that it has seen that,
each statement of `reads` is asked through it and around it, and the answers must be equal. The first connection, which
goes through the proxy, also asks at once for what it has just written. All the while another session reads and fills.

*The log* is judged at the end: the tables' content before and behind each such step against what was told of it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import psycopg
from psycopg.pq import TransactionStatus

from tests.changes.answers import ask
from tests.changes.content import Connection
from tests.changes.history import History, Step
from tests.changes.log_oracle import Passage, Precision, judge_passage
from tests.changes.reads import Read, Reads
from tests.changes.stage import NotFollowed, Stage
from tests.servers.processes import ServerError

_DEFINITIONS = ("ALTER", "CREATE", "DROP", "GRANT", "REVOKE", "CLUSTER", "VACUUM FULL", "REINDEX", "COMMENT ON")
_COMMITS_NOTHING = ("ROLLBACK", "PREPARE TRANSACTION")
_HARM = "replica identity and publishes"  # an application's statement that fails because of our publication
_OWN_READS, _FEW_RIGHTS_READS = 4, 15
_SHOWN_STATEMENT = 300  # characters


@dataclass(slots=True)
class Playing:
    """What came of a history.

    Attributes:
        violations: What was wrong; the first one of the cache ends the playing.
        statements: How many were played.
        failed: Those that failed, by SQLSTATE.
        harmed: Those among them that would not have failed without us.
        reads: Answers that were compared.
        hits: How many of them came from the cache, about.
        precision: See there.
    """

    violations: list[str] = field(default_factory=list)
    statements: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    harmed: int = 0
    reads: int = 0
    hits: int = 0
    precision: Precision = field(default_factory=Precision)


def play(stage: Stage, history: History) -> Playing:
    """Play a history from its beginning, and judge it."""
    player = _Player(stage)
    try:
        player.set_up(history.setup)
        for step in history.steps:
            player.take(step)
            if player.playing.violations:
                break
        player.judge_log()
    finally:
        player.close()
    player.playing.violations += stage.troubles()
    return player.playing


class _Player:
    """A history under way."""

    def __init__(self, stage: Stage) -> None:
        self.playing = Playing()
        self._stage = stage
        self._reads = Reads()
        self._passages: list[Passage] = []
        self._doing: dict[str, list[str]] = {}  # statements of each open transaction: of a connection, or prepared
        self._once_below: dict[int, set[int]] = {}  # by OID, those of tables that have been below it
        self._published: set[int] = set()  # OIDs of tables that have been in the publication
        self._defined = self._unseen = True
        stage.begin_anew()
        self._writers = stage.writers()
        self._readers = stage.readers()
        self._few_rights = stage.readers_with_few_rights()
        self._traffic = stage.traffic()
        self._content = stage.content.read(None)
        self._followed = stage.telling.followed

    def close(self) -> None:
        self._traffic.close()
        for connection in (*self._writers, *self._readers, *self._few_rights):
            connection.close()

    def set_up(self, statements: Iterable[str]) -> None:
        """Make the tables, and wait until they are followed and cached."""
        for sql in statements:
            try:
                self._writers[1].execute(sql.encode())
            except psycopg.Error as error:
                self.playing.failed[str(error.sqlstate)] += 1
        self._wait_followed()
        self._content = self._stage.content.read(None)
        self._followed = self._stage.telling.followed
        self._look("the beginning")

    def take(self, step: Step) -> None:
        """Do one step, and judge what came of it if something may have."""
        connection = self._writers[step.on]
        self._defined |= step.sql.startswith(_DEFINITIONS)
        self._unseen |= "CONCURRENTLY" in step.sql  # it commits in two steps, and event triggers see the second one
        error = self._execute(connection, step)
        what = self._note(step, connection)
        if what and (error is None or self._unseen):
            if step.on == 0:
                self._ask_at_once(step)
            self._look(what)
        if step.settled and not self._doing:
            self._wait_followed()

    def judge_log(self) -> None:
        """Compare what was told with what changed."""
        try:
            self._stage.wait_told(self._content.lsn)
        except ServerError as error:
            self.playing.violations.append(str(error))
            return
        for passage in self._passages:
            told = list(self._stage.telling.between(passage.before.lsn, passage.after.lsn))
            self.playing.violations += judge_passage(passage, told, self.playing.precision)
        self._stage.telling.forget()

    # -- a step

    def _execute(self, connection: Connection, step: Step) -> psycopg.Error | None:
        self.playing.statements += 1
        try:
            if step.data is None:
                connection.execute(step.sql.encode(), prepare=False)
            else:
                with connection.cursor() as cursor, cursor.copy(step.sql.encode()) as copy:
                    copy.write("".join(f"{line}\n" for line in step.data))
        except psycopg.Error as error:
            self.playing.failed[str(error.sqlstate)] += 1
            self.playing.harmed += _HARM in str(error)
            return error
        return None

    def _note(self, step: Step, connection: Connection) -> str:
        """Keep account of open transactions; return what may have committed now, or nothing."""
        own = f"connection {step.on}"
        block = self._doing.setdefault(own, [])
        block.append(step.sql)
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            return ""
        del self._doing[own]
        if step.sql.startswith("PREPARE TRANSACTION"):
            self._doing[step.sql.split("'")[1]] = block
        if " PREPARED " in step.sql:
            block = self._doing.pop(step.sql.split("'")[1], []) + block
        return "" if step.sql.startswith(_COMMITS_NOTHING) else "; ".join(sql[:_SHOWN_STATEMENT] for sql in block)

    # -- judging the cache

    def _look(self, what: str) -> None:
        """Look at the database, and at the cache once it has caught up."""
        before, followed = self._content, self._followed
        self._content = self._stage.content.read(before)
        self._followed = self._stage.telling.followed
        self._published |= {oid for oid, table in self._content.tables.items() if table.entry is not None}
        for oid in before.tables:
            self._once_below.setdefault(oid, set()).update(before.below(oid))
        once_below = {oid: frozenset(tables) for oid, tables in self._once_below.items()}
        self._passages.append(Passage(before, self._content, followed, once_below, what))
        self._reads.add(self._content.tables.values())
        self._traffic.reads = [*self._reads]
        try:
            self._stage.settle(defined=self._defined, unseen=self._unseen)
        except ServerError as error:
            self.playing.violations.append(f"behind {what}: {error}")
            return
        self._defined, self._unseen = self._defined and bool(self._doing), False
        with self._traffic.paused():
            hits = self._stage.hits()
            self._compare(self._reads, *self._readers, what)
            few = (read for read in self._reads if read.sql.startswith("SELECT *") and "WHERE" not in read.sql)
            self._compare(islice(few, _FEW_RIGHTS_READS), *self._few_rights, f"{what} (as reader)")
            self.playing.hits += self._stage.hits() - hits

    def _ask_at_once(self, step: Step) -> None:
        """What a session wrote it sees without waiting for anything."""
        names = [table.name for table in self._content.tables.values() if table.name in step.sql]
        concerned = (read for read in self._reads if any(f"{name} " in f"{read.sql} " for name in names))
        reads = islice(concerned, _OWN_READS)
        self._compare(reads, self._writers[0], self._readers[1], f"{step.sql[:_SHOWN_STATEMENT]} (at once)")

    def _compare(self, reads: Iterable[Read], proxied: Connection, direct: Connection, what: str) -> None:
        for read in reads:
            expected, found = ask(direct.pgconn, read), ask(proxied.pgconn, read)
            if expected.is_locked or found.is_locked:
                continue
            self.playing.reads += 1
            if expected != found:
                self.playing.violations.append(
                    f"{read.sql} {read.parameters or ''} behind {what}\n  Postgres: {expected}\n  proxied:  {found}"
                )
                return

    def _wait_followed(self) -> None:
        try:
            self._stage.wait_followed(frozenset(self._published))
        except NotFollowed as error:
            self.playing.violations.append(str(error))
