"""A standby is promoted while the old primary is alive: some connections stay where they were, in each of both worlds.

Commits wait for the standby until it is promoted, so nothing that was acknowledged is lost; afterwards the old primary
takes writes that only its own sessions may ever see. First none of our connections has moved, so all that is cached is
of the old world; then the CDC service has, and a new epoch begins while the proxy still asks the old primary how far it
is; then everything has.
"""

import threading
from dataclasses import replace

import psycopg

from tests.chaos import tables
from tests.chaos.checker import check
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import ALWAYS, History, Read, Write, now
from tests.chaos.stack import Plan, Stack, Standby
from tests.servers.postgres import PostgresServer
from tests.servers.standby import wait_replayed

_ZOMBIE = "zombie"
_EPOCHS = "tidegate_invalidator_epochs_total"
_PHASE_SECONDS = 2.0  # beyond the bound
_PAUSE_SECONDS = 0.005
_OLD_WORLD = 10_000_000
"""Versions that are written on the old primary alone begin here: in the new world nobody wrote them."""

_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()
"""
_END_CLIENTS = f"{_END} AND application_name !~ '^(tidegate|{_ZOMBIE})' AND backend_type = 'client backend'"
_END_CDC = f"{_END} AND application_name ~ '^tidegate-cdc'"


class PromotedWithOldAlive(Fault):
    """Split brain."""

    name = "standby promoted, the old primary goes on with some of the connections"
    expected = "another timeline: sessions of the other world are served nothing; one new epoch; nothing is stale"
    plan = replace(Plan(), kafka=False, standby=Standby.AWAITED)
    clients_notice = True
    spoils = True

    def strike(self, scene: Scene) -> None:
        """Promote; move the clients, then the CDC service, then the rest; end the old primary."""
        stack = scene.stack
        assert stack.standby is not None
        epochs = stack.services["invalidator"].metric(_EPOCHS)
        with _OldWorld(stack) as zombies:
            scene.let_pass(_PHASE_SECONDS)
            scene.strike()
            _promote(stack)
            old = stack.fail_over()
            old.execute(_END_CLIENTS)  # commits that hung there, for want of a standby, are never acknowledged
            zombies.begin(old)
            scene.let_pass(_PHASE_SECONDS)
            old.execute(_END_CDC)
            scene.let_pass(_PHASE_SECONDS)
            assert stack.services["invalidator"].metric(_EPOCHS) == epochs + 1, "not one new epoch"
            hits = stack.proxy.metric("tidegate_proxy_hits_total")
            scene.let_pass(_PHASE_SECONDS)
            assert stack.proxy.metric("tidegate_proxy_hits_total") == hits, "served while the probe is of the old world"
        scene.remarks.append(f"{zombies.reads} reads in the old world, {zombies.written} writes there")
        old.execute(_END)
        scene.mend()
        wait_services(stack)

    def check(self, scene: Scene) -> None:
        """One epoch for all of it."""
        assert scene.stack.standby is not None
        scene.stack.standby.destroy()


def _promote(stack: Stack) -> None:
    """Promote the standby when it has everything that anybody was told of; nobody knows it yet."""
    assert stack.standby is not None
    wait_replayed(stack.postgres, stack.standby)
    stack.standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
    stack.standby.execute("SELECT pg_promote()")
    stack.standby.execute("SELECT pg_reload_conf()")


class _OldWorld:
    """Sessions that stay on the old primary: one reads through the proxy, one writes directly.

    Attributes:
        reads, written: How much they did after the promotion.
    """

    def __init__(self, stack: Stack) -> None:
        self._history = History()
        self._stack = stack
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._proxied: psycopg.Connection[tuple[int, int]] = psycopg.connect(
            stack.proxied_url, autocommit=True, application_name=_ZOMBIE
        )
        for item in tables.HOT_ITEMS:
            self._proxied.execute(tables.READ_ITEM, [item])
        self.reads, self.written = 0, 0

    def __enter__(self) -> "_OldWorld":
        return self

    def __exit__(self, *exception: object) -> None:
        """End them, and see that they saw their own world alone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_PHASE_SECONDS * 5)
        self._proxied.close()
        if not any(exception):
            verdict = check(self._history, self._stack.max_staleness)
            assert not verdict.violations, f"in the old world: {verdict.violations[0]}"
            assert self.reads
            assert self.written

    def begin(self, old: PostgresServer) -> None:
        """Write on the old primary from now on, and read it."""
        old.execute("ALTER SYSTEM RESET synchronous_standby_names")
        old.execute("SELECT pg_reload_conf()")
        self._thread = threading.Thread(target=self._run, args=[old], name=_ZOMBIE, daemon=True)
        self._thread.start()

    def _run(self, old: PostgresServer) -> None:
        versions = iter(range(_OLD_WORLD, 2 * _OLD_WORLD))
        with psycopg.connect(old.url(), autocommit=True, application_name=_ZOMBIE) as direct:
            for item in tables.HOT_ITEMS:  # from here on only these writes count: what was there does not
                self._write(direct, item, next(versions), ALWAYS)
            settled = now()
            while not self._stop.wait(_PAUSE_SECONDS):
                for item in tables.HOT_ITEMS:
                    begin = now()
                    rows = self._proxied.execute(tables.READ_ITEM, [item]).fetchall()
                    if begin > settled + self._stack.max_staleness:
                        self.reads += 1
                        self._history.reads.append(Read(_ZOMBIE, begin, now(), tables.values_of([item], rows)))
                item = tables.HOT_ITEMS[self.written % len(tables.HOT_ITEMS)]
                self._write(direct, item, next(versions), now())
                self.written += 1

    def _write(self, direct: "psycopg.Connection[tuple[int, ...]]", item: int, version: int, sent: float) -> None:
        direct.execute(tables.WRITE_ITEM, [version, item, version])
        self._history.writes.append(Write(tables.key_of(item), version, sent, ALWAYS if sent == ALWAYS else now()))
