"""What the proxy shows of itself: counters, gauges, readiness."""

from typing import TYPE_CHECKING

from services.proxy.admission.table import decision_table
from services.proxy.cache.outage import Phase
from services.proxy.cached_database import CachedDatabase
from services.shared.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from services.proxy.replica.watch import ReplicaWatch

_SUBSYSTEM = "proxy"
_AUDIT = "audit"


def register_metrics(telemetry: Telemetry, database: CachedDatabase) -> None:
    """Register one cache's metrics and its readiness."""
    statistics = database.statistics
    telemetry.counts(
        _SUBSYSTEM,
        statistics,
        {
            "hits": "Answers served from this worker's memory (L1).",
            "hits_l2": "Answers served from Redis (L2).",
            "hits_joined": "Answers shared from another session's query that was under way.",
            "hits_ageing": "Those of all hits that were served although they age (ageing_ttl).",
            "hits_stale": "Those of all hits that were served while Postgres was down (serve_stale_for).",
            "unanswered": "Turns that got an error because Postgres is down, of sessions that go on (serve_stale_for).",
            "misses": "Cacheable reads that went to Postgres.",
            "blocks_held": "Transaction blocks whose BEGIN was held back.",
            "blocks_sent": "Held-back blocks that Postgres had to see after all.",
            "kept": "Answers taken into L1.",
            "interrupted": "Queries that waited in the proxy and were cancelled there.",
            "clients_refused": "Clients that found no room (max_clients).",
            "logins_failed": "Clients that were refused, or gave up, while they logged in.",
        },
    )
    telemetry.counts_by(
        _SUBSYSTEM, "forwarded", "reason", "Turns that went to Postgres, by reason.", lambda: statistics.forwarded
    )
    telemetry.counts_by(
        _SUBSYSTEM, "fills_refused", "reason", "Answers that L1 did not take, by reason.", lambda: statistics.refused
    )
    telemetry.counts_by(
        _SUBSYSTEM, "l2_fills_refused", "reason", "Answers that L2 did not take.", lambda: database.store.refused
    )
    telemetry.counts(
        _SUBSYSTEM,
        database.l1,
        {
            "evicted": "Entries evicted because a change may have altered them.",
            "displaced": "Entries removed for space or age.",
        },
    )
    telemetry.counts(_SUBSYSTEM, database.follower, {"resyncs": "Times that everything was dropped and read anew."})
    telemetry.counts(
        _SUBSYSTEM, database.slot_watch, {"slots_given_up": "Replication slots dropped to spare the primary's disk."}
    )
    telemetry.counts(_SUBSYSTEM, database.prober, {"mismatches": "Probes that showed another history."})
    _register_gauges(telemetry, database)
    if database.replica is not None:
        _register_replica(telemetry, database.replica)
    _register_audit(telemetry, database)
    economies = database.templates.economies
    telemetry.gauge(
        _SUBSYSTEM,
        "templates_turned_away",
        "Templates that are not cached because it does not pay: see the page /admission.",
        lambda: float(economies.turned_away),
    )
    telemetry.page("/admission", lambda: decision_table(economies.decisions()))
    telemetry.readiness_check("listener", lambda: None if database.listening else "the port is not open")
    telemetry.readiness_check("feed", lambda: None if database.follower.epoch else database.follower.drop_reason)
    telemetry.readiness_check("catalog", lambda: None if database.catalog_watch.readable else "catalog not read yet")


def _register_replica(telemetry: Telemetry, replica: "ReplicaWatch") -> None:
    def replayed() -> float | None:
        return None if replica.sighting is None else float(replica.sighting.replayed)

    telemetry.gauge(
        _SUBSYSTEM,
        "replica_proven",
        "Whether the replica was in the followed history when it was asked last.",
        lambda: float(replica.proven),
    )
    telemetry.gauge(_SUBSYSTEM, "replica_replayed_lsn", "How far the replica had replayed then, as a number.", replayed)


def _register_gauges(telemetry: Telemetry, database: CachedDatabase) -> None:
    def age() -> float | None:
        seconds = database.freshness.age()
        return None if seconds == float("inf") else seconds

    gauges = {
        "freshness_age_seconds": ("Age of the newest proof of freshness; absent when there is none.", age),
        "watermark_lsn": ("Applied watermark, as a number.", lambda: float(database.freshness.watermark)),
        "postgres_down": (
            "Whether Postgres is down, as this worker sees it.",
            lambda: float(database.outage.phase is Phase.DOWN),
        ),
        "serving_stale": (
            "Whether hits are served although nothing proves them fresh (serve_stale_for).",
            lambda: float(database.outage.serves),
        ),
        "joined_waiting": (
            "Reads that wait for another session's query.",
            lambda: float(database.flights.waiting),
        ),
        "busy_ratio": (
            "Share of its time in which the worker works, or waits for a processor: near 1 there is work for another.",
            lambda: database.templates.economies.prices.pressure.busy,
        ),
        "sessions": ("Client sessions.", lambda: float(database.statistics.sessions)),
        "l1_bytes": ("Memory of L1, by estimate.", lambda: float(database.l1.bytes_used)),
        "l1_entries": ("Entries in L1.", lambda: float(len(database.l1))),
        "slot_kept_bytes": (
            "WAL that the replication slot keeps back, as the first worker sees it.",
            lambda: float(database.slot_watch.kept_bytes),
        ),
        "redis_available": ("Whether Redis answers.", lambda: float(database.store.available)),
        "relations_followed": (
            "Relations whose changes are on the stream.",
            lambda: float(len(database.follower.followed)),
        ),
    }
    for name, (description, read) in gauges.items():
        telemetry.gauge(_SUBSYSTEM, name, description, read)


def _register_audit(telemetry: Telemetry, database: CachedDatabase) -> None:
    statistics = database.auditor.statistics
    telemetry.counts(
        _AUDIT,
        statistics,
        {
            "samples": "Hits that were asked of Postgres instead, and compared.",
            "agreements": "Those to which both gave the same answer.",
            "reordered": "Those to which both gave the same rows, in another order.",
            "explained": "Those that differed by a change that was on its way, within the bound.",
            "violations": "Cached answers proven wrong.",
            "seconds": "Time that the worker spent on the audit.",
            "query_seconds": "Time for which clients waited for Postgres although the cache had an answer.",
        },
    )
    telemetry.counts_by(
        _AUDIT, "skipped", "reason", "Samples of which nothing can be said, by reason.", lambda: statistics.skipped
    )
    telemetry.gauge(
        _AUDIT,
        "violations_per_billion_reads",
        "Violations by samples that were judged, times a billion; absent without such samples.",
        statistics.violations_per_billion_reads,
    )
    telemetry.gauge(
        _AUDIT,
        "quarantined",
        "Templates that are not cached, for an answer was proven wrong.",
        lambda: float(len(database.quarantine.templates)),
    )
