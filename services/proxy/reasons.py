"""Why a turn went to Postgres although it might have been a cached read: a name and a sentence of advice each.

What the statement itself is refused for stands in `sql/reasons.py`; here is what the session, the moment and the state
of the cache have against it. Metrics count by these names. Pure.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The named reasons; the value is what a user sees."""

    CONSISTENCY_OFF = "consistency_off"
    UNKNOWN_CONSISTENCY = "unknown_consistency"
    SKIPPED = "skipped"
    UNKNOWN_MAX_STALENESS = "unknown_max_staleness"
    STRONG_WAIT = "strong_wait"
    UNKNOWN_DIRECTIVE = "unknown_directive"
    DATABASE_NOT_CACHED = "database_not_cached"
    PROTOCOL_FORM = "protocol_form"
    NO_STATEMENT = "no_statement"
    UNREADABLE = "unreadable"
    NOT_ANALYSED = "statement_not_analysed"
    PREPARED_BEFORE = "prepared_before"
    IN_TRANSACTION = "in_transaction"
    FROZEN_NOW = "frozen_now"
    STATE_UNKNOWN = "session_state_unknown"
    STANDBY = "standby"
    REPLICA_BEHIND = "replica_behind"
    REPLICA_UNPROVEN = "replica_unproven"
    REPLICA_CHANGED = "replica_changed"
    REPLICA_POOLED = "replica_pooled"
    REPLICA_SILENT = "replica_silent"
    REPLICA_AGES = "replica_ages"
    TEMPORARY_SCHEMA = "temporary_schema"
    CLIENT_ENCODING = "client_encoding"
    NONSTANDARD_STRINGS = "nonstandard_strings"
    NONSTANDARD_ARRAYS = "nonstandard_arrays"
    FAR_TIME_ZONE = "far_time_zone"
    ISOLATION_LEVEL = "isolation_level"
    CATALOG_UNKNOWN = "catalog_unknown"
    CATALOG_CHANGED = "catalog_changed"
    OWN_DDL = "own_ddl"
    OTHER_HISTORY = "other_history"
    NOT_FOLLOWED = "relation_not_followed"
    OWN_WRITE = "own_write"
    NOT_FRESH = "not_fresh"
    POSTGRES_DOWN = "postgres_down"
    QUARANTINED = "quarantined"
    AUDITED = "audited"
    NOT_CACHED = "not_cached"
    DOES_NOT_PAY = "does_not_pay"
    FIRST_SIGHT = "first_sight"
    NO_ROOM = "no_room"
    FLIGHT_FAILED = "flight_failed"
    NOT_SYNCHRONISED = "not_synchronised"
    MEMORY_POLICY = "memory_policy"
    NO_BUCKET = "no_bucket"
    BUCKET_EPOCH_CHANGED = "bucket_epoch_changed"
    BUCKET_WENT_BACK = "bucket_went_back"
    FEED_EPOCH_CHANGED = "feed_epoch_changed"
    FEED_GAP = "feed_gap"
    REGISTRY_UNKNOWN = "registry_unknown"
    REGISTRATION_LOST = "registration_lost"


ADVICE: dict[Reason, str] = {
    Reason.CONSISTENCY_OFF: "The cache is switched off: `consistency = off`, or `SET tidegate.consistency = 'off'`.",
    Reason.UNKNOWN_CONSISTENCY: "`tidegate.consistency` was set to something else than off, bounded, session or "
    "strong.",
    Reason.UNKNOWN_MAX_STALENESS: "`tidegate.max_staleness` was set to something else than a duration up to 1h.",
    Reason.STRONG_WAIT: "The level is strong, and the change stream was not heard to have passed this moment within "
    "`strong_wait`.",
    Reason.SKIPPED: "A comment says so: `tidegate_skip='1'`, `tidegate_consistency='off'`, or "
    "`tidegate_ageing_ttl='0'`; or `SET tidegate.ageing_ttl = '0'`.",
    Reason.UNKNOWN_DIRECTIVE: "A comment holds a directive or a value that is not known; see its spelling.",
    Reason.DATABASE_NOT_CACHED: "The client is in another database than the one that this cache follows.",
    Reason.PROTOCOL_FORM: "Only statements on the unnamed portal, run at once and ended by a Sync, can be cached.",
    Reason.NO_STATEMENT: "The turn runs nothing: it prepares, describes or closes.",
    Reason.UNREADABLE: "The turn's messages are malformed or longer than 256 KiB; Postgres decides.",
    Reason.NOT_ANALYSED: "The statement is longer than 64 KiB, or the catalog has not been read yet.",
    Reason.PREPARED_BEFORE: "It was prepared when names or literals in it meant something else, or that is not known.",
    Reason.IN_TRANSACTION: "The block has done something else than cached reads, or is in another isolation level: "
    "it is Postgres's.",
    Reason.FROZEN_NOW: "In a transaction, and in a pipeline up to its Sync, now() stands still: Postgres says where.",
    Reason.STATE_UNKNOWN: "The session's settings could not be read; the proxy asks again within five seconds.",
    Reason.STANDBY: "The session is on a standby that `replica_url` does not name, or of another primary.",
    Reason.REPLICA_BEHIND: "Not kept: the replica has not replayed yet what the cache has seen.",
    Reason.REPLICA_UNPROVEN: "Not kept: the replica did not show that it follows the primary; see `tidegate check`.",
    Reason.REPLICA_CHANGED: "Not kept: the session's replica was promoted, or another server answers the session.",
    Reason.REPLICA_POOLED: "Not kept: a pooler stands before the replica, and may switch servers.",
    Reason.REPLICA_SILENT: "Not kept: the replica did not say how far it is, in front of the read.",
    Reason.REPLICA_AGES: "Not kept: what ages is as old as the primary says, and a replica cannot tell that.",
    Reason.TEMPORARY_SCHEMA: "The session has a temporary schema, whose tables may shadow any name.",
    Reason.CLIENT_ENCODING: "Only sessions with client_encoding UTF8 are cached.",
    Reason.NONSTANDARD_STRINGS: "standard_conforming_strings is off in this session.",
    Reason.NONSTANDARD_ARRAYS: "array_nulls is off in this session.",
    Reason.FAR_TIME_ZONE: "The session's TimeZone is of its own making, 15 hours or more from UTC.",
    Reason.ISOLATION_LEVEL: "default_transaction_isolation is not READ COMMITTED in this session.",
    Reason.CATALOG_UNKNOWN: "The proxy cannot read the catalog now; see its log.",
    Reason.CATALOG_CHANGED: "The schema has just changed, and the proxy reads the catalog again: milliseconds.",
    Reason.OWN_DDL: "The session changed the schema; it is forwarded until the catalog has been read again.",
    Reason.OTHER_HISTORY: "The session's server is not the one whose changes are followed: another timeline or canary.",
    Reason.NOT_FOLLOWED: "The table's changes are not followed (yet); a new table joins within seconds.",
    Reason.OWN_WRITE: (
        "The session wrote to the table, and its write is not evicted everywhere yet: milliseconds. An UPDATE or "
        "DELETE with `column = value` in its WHERE counts only for reads that may rest on the same rows."
    ),
    Reason.NOT_FRESH: "Nothing proves the cache fresh enough: the first read after a pause, or a part is down.",
    Reason.POSTGRES_DOWN: "Postgres is down, and the answer was not in the cache (`serve_stale_for`).",
    Reason.QUARANTINED: "A cached answer of this template was proven wrong, so none is cached any more: see the "
    "proxy's log, and please report it. `tidegate quarantine` lists such templates and releases them.",
    Reason.AUDITED: "The auditor compares this answer with the cached one: one hit a second at most (`audit_rate`).",
    Reason.DOES_NOT_PAY: "Its template is read again too seldom for what caching costs; some of its keys "
    "show whether that changes (`admission`; the page `/admission` lists the decisions).",
    Reason.FIRST_SIGHT: "Many answers of its template are never read again, so one is kept when it is asked for a "
    "second time (`admission`; the page `/admission` lists the decisions).",
    Reason.NO_ROOM: "There is no room for all answers that are asked for again, so one in several is kept: more memory "
    "(`l1_bytes`) takes more of them (`admission`; the page `/admission` lists the decisions).",
    Reason.NOT_CACHED: "The answer was not in the cache: an ordinary miss.",
    Reason.FLIGHT_FAILED: "The query of another session that this one waited for gave no answer to share.",
    Reason.NOT_SYNCHRONISED: "The proxy has just started and has not read the cache's state yet.",
    Reason.MEMORY_POLICY: "Redis's maxmemory-policy may delete what must stay: set volatile-lru, or noeviction.",
    Reason.NO_BUCKET: "Redis holds no state of this cache yet: is the invalidator running?",
    Reason.BUCKET_EPOCH_CHANGED: "The cache was started anew; this worker is about to follow it.",
    Reason.BUCKET_WENT_BACK: "Redis went back in time (fail-over, old snapshot); this worker is about to follow it.",
    Reason.FEED_EPOCH_CHANGED: "The cache was started anew; this worker is about to follow it.",
    Reason.FEED_GAP: "This worker missed evictions; it dropped what it held and is about to follow again.",
    Reason.REGISTRY_UNKNOWN: "This worker missed a registration; it dropped what it held and is about to follow again.",
    Reason.REGISTRATION_LOST: "Redis lost a registration; this worker dropped what it held and follows again.",
}
