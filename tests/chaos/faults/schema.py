"""The schema, or who may read, is changed again and again while everybody reads.

What changes is what one statement answers, or that it answers at all. Where event triggers tell of it, the bound is
that of row changes, however seldom the catalog is looked at; else, and for what they are not told of, three
times `catalog_poll`.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg

from tests.chaos.fault import Fault, Scene
from tests.chaos.history import ALWAYS, now
from tests.chaos.stack import Plan, Stack
from tests.chaos.states import Sight, State, wrong_sights
from tests.chaos.workload import Load
from tests.servers.postgres import SUPERUSER

TOLD = replace(Plan(), kafka=False, settings={"catalog_poll": "5s", "ageing_ttl": "1min"})
LOOKED_AT = replace(Plan(), kafka=False, settings={"ddl_trigger": "false", "catalog_poll": "1s", "ageing_ttl": "1min"})

_CATALOG_POLL_SECONDS = 1.0
_READER = "app"
_READERS = 4
_READ_PAUSE_SECONDS = 0.002
_CHANGES = 6
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.3, 4.0  # between changes: before, and after, the bound has passed
_END_SECONDS = 20.0
_DENIED = "denied"
_LOCKED = """
    CREATE TABLE locked (id int PRIMARY KEY); ALTER TABLE locked ENABLE ROW LEVEL SECURITY;
    CREATE POLICY rule ON locked USING (id > 0); CREATE VIEW locked_view AS SELECT id FROM locked
"""
_ROLES = f"""
    DO $$ BEGIN
        IF to_regrole('{_READER}') IS NULL THEN CREATE ROLE {_READER} LOGIN; CREATE ROLE club; END IF;
    END $$
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is changed.

    Attributes:
        what: What is done to it.
        made: SQL that makes it, in state 0.
        read: What the readers ask.
        change: SQL that brings it to state n, as one transaction.
        denied: In which states the read is refused.
        told: Whether event triggers tell of it.
    """

    what: str
    made: str
    read: str
    change: Callable[[int], str]
    denied: Callable[[int], bool] = lambda _: False
    told: bool = True

    def shows(self, number: int) -> str:
        """Return what a read shows in a state."""
        return _DENIED if self.denied(number) else str(number)


def _is_odd(number: int) -> bool:
    return number % 2 == 1


def _one_row(table: str, more: str = "") -> str:
    return f"CREATE TABLE {table} (id int PRIMARY KEY, version int); INSERT INTO {table} VALUES (1, 0); {more}"


def _membership(table: str) -> Subject:
    return Subject(
        "membership revoked and granted",
        _one_row(table, f"GRANT SELECT ON {table} TO club; GRANT club TO {_READER}"),
        f"SELECT version FROM {table} WHERE id = 1",
        lambda n: (
            f"REVOKE club FROM {_READER}"
            if _is_odd(n)
            else f"UPDATE {table} SET version = {n}; GRANT club TO {_READER}"
        ),
        denied=_is_odd,
        told=False,
    )


SUBJECTS = [
    Subject(
        "ALTER TYPE … USING",
        _one_row("retyped"),
        "SELECT version FROM retyped WHERE id = 1",
        lambda n: f"ALTER TABLE retyped ALTER version TYPE {'bigint' if _is_odd(n) else 'int'} USING {n}",
    ),
    Subject(
        "column dropped and added",
        _one_row("altered"),
        "SELECT version FROM altered WHERE id = 1",
        lambda n: f"ALTER TABLE altered DROP version; ALTER TABLE altered ADD version int DEFAULT {n}",
    ),
    Subject(
        "generated column SET EXPRESSION",
        "CREATE TABLE generated (id int PRIMARY KEY, version int GENERATED ALWAYS AS (0) STORED);"
        "INSERT INTO generated VALUES (1)",
        "SELECT version FROM generated WHERE id = 1",
        lambda n: f"ALTER TABLE generated ALTER version SET EXPRESSION AS ({n})",
    ),
    Subject(
        "tables renamed",
        _one_row("swapped") + _one_row("swapped_next"),
        "SELECT version FROM swapped WHERE id = 1",
        lambda n: (
            f"UPDATE swapped_next SET version = {n}; ALTER TABLE swapped RENAME TO swapped_old;"
            "ALTER TABLE swapped_next RENAME TO swapped; ALTER TABLE swapped_old RENAME TO swapped_next"
        ),
    ),
    Subject(
        "table dropped and created",
        _one_row("recreated"),
        "SELECT version FROM recreated WHERE id = 1",
        lambda n: (
            "DROP TABLE recreated; CREATE TABLE recreated (id int PRIMARY KEY, version int);"
            f"INSERT INTO recreated VALUES (1, {n}); GRANT SELECT ON recreated TO {_READER}"
        ),
    ),
    Subject(
        "view replaced",
        _one_row("viewed") + "CREATE VIEW seen AS SELECT id, version FROM viewed",
        "SELECT version FROM seen WHERE id = 1",
        lambda n: f"CREATE OR REPLACE VIEW seen AS SELECT id, version + {n} AS version FROM viewed",
    ),
    Subject(
        "materialized view refreshed",
        _one_row("source") + "CREATE MATERIALIZED VIEW gathered AS SELECT id, version FROM source",
        "SELECT version FROM gathered WHERE id = 1",
        lambda n: f"UPDATE source SET version = {n}; REFRESH MATERIALIZED VIEW gathered",
    ),
    Subject(
        "partitions attached and detached",
        "CREATE TABLE parted (id int, part int, version int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);"
        "CREATE TABLE parted_0 PARTITION OF parted FOR VALUES IN (0); INSERT INTO parted VALUES (1, 0, 0)",
        "SELECT version FROM parted WHERE id = 1",
        lambda n: (
            f"CREATE TABLE parted_{n} (LIKE parted INCLUDING ALL); INSERT INTO parted_{n} VALUES (1, {n}, {n});"
            f"ALTER TABLE parted DETACH PARTITION parted_{n - 1};"
            f"ALTER TABLE parted ATTACH PARTITION parted_{n} FOR VALUES IN ({n})"
        ),
    ),
    Subject(
        "leaf truncated",
        "CREATE TABLE leafed (id int, part int, version int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);"
        "CREATE TABLE leaf PARTITION OF leafed FOR VALUES IN (0); INSERT INTO leafed VALUES (1, 0, 0)",
        "SELECT version FROM leafed WHERE id = 1",
        lambda n: f"TRUNCATE leaf; INSERT INTO leaf VALUES (1, 0, {n})",
    ),
    Subject(
        "policy altered",
        "CREATE TABLE ruled (id int PRIMARY KEY, version int);"
        "INSERT INTO ruled SELECT n, n FROM generate_series(0, 99) n; ALTER TABLE ruled ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY rule ON ruled USING (version <= 0)",
        "SELECT max(version) FROM ruled",
        lambda n: f"ALTER POLICY rule ON ruled USING (version <= {n})",
    ),
    Subject(
        "SELECT revoked and granted",
        _one_row("secret"),
        "SELECT version FROM secret WHERE id = 1",
        lambda n: (
            f"REVOKE SELECT ON secret FROM {_READER}"
            if _is_odd(n)
            else f"UPDATE secret SET version = {n}; GRANT SELECT ON secret TO {_READER}"
        ),
        denied=_is_odd,
    ),
    _membership("shared"),
]


class SchemaChanged(Fault):
    """One subject is changed some times, with pauses of all lengths."""

    expected = "what is served is never older than the bound, nor to anybody who may not read it any more"
    load = Load(readers=0, direct=0, proxied=0)

    def __init__(self, subject: Subject, plan: Plan) -> None:
        self._subject = subject
        self.plan = plan
        told = plan is TOLD
        self.name = f"{subject.what}, {'event triggers' if told else 'no event triggers'}"
        self._bound = None if told else 3 * _CATALOG_POLL_SECONDS
        self._readers: _Readers | None = None

    def prepare(self, scene: Scene) -> None:
        """Make the subject, and let clients read it."""
        postgres, subject = scene.stack.postgres, self._subject
        postgres.execute(_ROLES)
        postgres.execute(subject.made)
        if subject.told:
            postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {_READER}")
        else:
            postgres.execute(f"REVOKE SELECT ON {subject.read.split()[3]} FROM {_READER}")
        self._readers = _Readers(scene.stack.proxied_url.replace(f"{SUPERUSER}@", f"{_READER}@"), subject.read)

    def strike(self, scene: Scene) -> None:
        """Change it, over and over."""
        chance = random.Random(self.name)
        states = [State(self._subject.shows(0), ALWAYS, ALWAYS)]
        scene.strike()
        assert self._readers is not None
        try:
            with psycopg.connect(scene.stack.direct_url) as connection:
                for number in range(1, _CHANGES + 1):
                    connection.execute(self._subject.change(number).encode())
                    sent = now()
                    connection.commit()
                    states.append(State(self._subject.shows(number), sent, now()))
                    scene.let_pass(chance.uniform(_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS))
        finally:
            scene.mend()
        sights = self._readers.sights
        scene.reads += len(sights)
        bound = self._bound or scene.stack.max_staleness
        scene.violations += wrong_sights(states, sights, bound)
        share = scene.share(scene.struck_at, scene.mended_at)
        assert share.hits, "nothing was served from the cache: nothing was tried"
        scene.remarks.append(f"{_CHANGES} changes, hit ratio {share.hit_ratio:.0%}")

    def check(self, scene: Scene) -> None:
        """End the readers."""
        assert self._readers is not None
        self._readers.end()


class LookBlocked(SchemaChanged):
    """Somebody holds a lock that whoever reads the whole catalog has to wait for."""

    def __init__(self) -> None:
        super().__init__(_membership("guarded"), LOOKED_AT)
        self.name = f"{self._subject.what} while a look at the catalog waits for a lock"

    def strike(self, scene: Scene) -> None:
        """Lock a view, and a table with a policy, for as long as the changes take."""
        scene.stack.postgres.execute(_LOCKED)
        scene.let_pass(_CATALOG_POLL_SECONDS * 2)
        with psycopg.connect(scene.stack.direct_url) as locking:
            locking.execute("LOCK TABLE locked_view IN ACCESS EXCLUSIVE MODE")
            super().strike(scene)

    def clean(self, stack: Stack) -> None:
        """Leave no policy behind."""
        stack.postgres.execute("DROP TABLE locked CASCADE")


class _Readers:
    """Clients that ask one question over and over, as a role that has only what it was granted.

    Attributes:
        sights: What they saw.
    """

    def __init__(self, url: str, sql: str) -> None:
        self._url = url
        self._sql = sql.encode()
        self._stop = threading.Event()
        self.sights: list[Sight] = []
        self._threads = [threading.Thread(target=self._run, name="reader", daemon=True) for _ in range(_READERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True, prepare_threshold=None) as connection:
            while not self._stop.wait(_READ_PAUSE_SECONDS):
                begin = now()
                try:
                    rows = connection.execute(self._sql).fetchall()
                    shows = str(rows[0][0]) if len(rows) == 1 else f"{len(rows)} rows"
                except psycopg.errors.InsufficientPrivilege:
                    shows = _DENIED
                except psycopg.Error as error:
                    shows = f"{error.sqlstate}: {error}"
                self.sights.append(Sight(shows, begin, now()))


FAULTS: list[Fault] = [
    *(SchemaChanged(subject, TOLD) for subject in SUBJECTS if subject.told),
    *(SchemaChanged(subject, LOOKED_AT) for subject in SUBJECTS),
    LookBlocked(),
]
