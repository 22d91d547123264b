"""Everything about a session that can change an answer, as Postgres itself reports it on the session's own connection.

One statement asks for it all, before the client sees its first ReadyForQuery and again whenever a statement may have
changed it. It also reads the timeline and the canary, which prove to which history this connection belongs (hazard
H48). Pure.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from services.proxy.reasons import Reason
from services.proxy.replica.replay import SERVER, Server
from services.shared.epoch import StreamEpoch
from services.shared.pgwire.frontend import Bind, Close, Execute, Parse, Sync, Target
from services.shared.runtime.quantities import parse_duration
from services.shared.runtime.settings import Consistency, parse_bound

_NAME = b"tidegate_state"
_DIGEST_BYTES = 16
_MOST_SHARED = 256  # states that are remembered for sessions to come

_ZONE_NAME, _ZONE_HOURS, _FAR_HOURS = re.compile(r"<[^>]*>"), re.compile(r"(?<![0-9:])[0-9]+"), 15

# Settings that change the text of an answer or the meaning of a statement (hazard H23). Those that only change plans,
# time-outs, locks or logging are left out.
_SETTINGS = (
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "timezone_abbreviations",
    "extra_float_digits",
    "bytea_output",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "row_security",
    "array_nulls",
    "xmlbinary",
    "xmloption",
    "quote_all_identifiers",
    "transform_null_equals",
    "default_text_search_config",
    "gin_fuzzy_search_limit",
    "backslash_quote",
    "standard_conforming_strings",
    "default_transaction_isolation",
    "role",
)


# Of these, the ones by which Postgres reads a statement's literals when it parses it. What it made of them stays so for
# a prepared statement, whatever the settings are when that is executed.
_READING = (
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "timezone_abbreviations",
    "lc_monetary",
    "array_nulls",
    "xmloption",
    "transform_null_equals",
)

# Settings that say how the session is to be served, and change no answer. Those of our own are forwarded like any
# other: Postgres keeps them, so that RESET, SET LOCAL and ROLLBACK do what they do.
_MANNERS = (
    "statement_timeout",
    "tidegate.consistency",
    "tidegate.max_staleness",
    "tidegate.ageing_ttl",
    "tidegate.token",
    "client_min_messages",
)


# current_schemas() makes the session's temporary schema where that would come first on the path, which a question must
# not do: a transaction that used it cannot be prepared. So where pg_temp is on the path, a plainly written schema in
# front of it ("$user" does not count) has to exist. No table is read for that: with enable_seqscan off, a plan over one
# seems so dear that Postgres compiles it, which takes a tenth of a second.
_SCHEMAS = """
CASE WHEN pg_catalog.strpos(pg_catalog.current_setting('search_path'), 'pg_temp') OPERATOR(pg_catalog.=) 0
    THEN pg_catalog.current_schemas(true)
WHEN pg_catalog.current_setting('search_path') OPERATOR(pg_catalog.~) '^("[$]user", *)?[a-z_][a-z0-9_]* *,'
    THEN CASE WHEN pg_catalog.has_schema_privilege(
        pg_catalog.to_regnamespace(pg_catalog.substring(
            pg_catalog.current_setting('search_path'), '^(?:"[$]user", *)?([a-z_][a-z0-9_]*)'))::pg_catalog.oid,
        'USAGE') THEN pg_catalog.current_schemas(true) END
END
"""


@dataclass(frozen=True, slots=True)
class SessionState:
    """What Postgres said about a session.

    Attributes:
        schemas: The search path as resolved (`current_schemas(true)`); empty where asking would have left a trace.
        timeline: Eight hexadecimal digits; on a replica of the primary, those of the epoch that is followed.
        canary: The canary that this connection reads; empty when there is none. On a replica that of the epoch, too: so
            sessions there and on the primary have the same keys.
        key: Digest of all that can change an answer, the history of the server included: a connection to a demoted
            primary shares nothing with one to its successor.
        refusal: Why this session's statements are not cached; empty when they may be.
        statement_timeout: Seconds after which Postgres would cancel a statement; 0: never.
        listens: It may be sent notifications.
        consistency: What `SET tidegate.consistency` asks for; None: what the cache's setting says.
        max_staleness: The bound that `SET tidegate.max_staleness` asks for, in seconds; None: as the cache's setting
            says.
        ageing_ttl: For how many seconds at most its answers may age, by `SET tidegate.ageing_ttl`; None: as the cache's
            setting says.
        debugs: It is sent messages for debugging.
        token: What it was last handed by `SET tidegate.token`; empty: nothing.
        reading: Digest of the settings by which literals are read.
        settings: Those that row security policies read, by name: a digest of each, since it may be a secret; None for
            one that is not there. They are part of the keys of answers that such policies have a part in, and no other.
        context: Digest of all that can change any answer, these settings among it.
        server: On a hot standby of the primary, which server that is; else None.
        in_recovery: It is on a standby, of whatever primary.
    """

    schemas: tuple[str, ...]
    timeline: str
    canary: str
    key: bytes
    refusal: str
    statement_timeout: float = 0.0
    listens: bool = False
    consistency: Consistency | None = None
    ageing_ttl: float | None = None
    debugs: bool = False
    max_staleness: float | None = None
    token: str = ""
    reading: int = 1
    settings: tuple[tuple[str, bytes | None], ...] = ()
    context: bytes = b""
    server: Server | None = None
    in_recovery: bool = False

    def digests(
        self, names: Sequence[str], held: Mapping[str, bytes] = MappingProxyType({})
    ) -> tuple[bytes | None, ...] | None:
        """Return the digests of these settings; None when the session was not asked for one of them.

        Args:
            names: The settings.
            held: Digests of those that have another value now, by their folded names.
        """
        if not names:
            return ()
        known = dict(self.settings)
        if not known.keys() >= set(names):
            return None
        return tuple(held.get(name.lower(), known[name]) for name in names)


# The statements that the client has prepared by Parse. One that PREPARE made is none of these, whatever its name was
# before. The list is part of the question where something has to be found in it: it costs a microsecond a statement.
_PREPARED = "(SELECT pg_catalog.json_agg(s.name) FROM pg_catalog.pg_prepared_statement() s WHERE NOT s.from_sql)"


def state_request(cache: str, settings: Sequence[str] = (), *, names: bool = False, on_standby: bool = False) -> bytes:
    """Return the messages that ask for the state, as one turn.

    Args:
        cache: The cache's name.
        settings: Names of the settings that row security policies read.
        names: Ask for the names of the statements that were prepared by Parse, too.
        on_standby: Ask as a standby can be asked: there the canary, which is unlogged, is an error (hazard H55).

    By the extended protocol under a name of its own: a simple query would remove the client's unnamed statement. The
    first Close removes what an earlier question left behind that failed half-way. The portal has to go too: in a block
    it would still be there when the question is asked again.
    """
    messages = (
        Close(Target.STATEMENT, _NAME),
        Parse(_NAME, state_query(cache, settings, names=names, on_standby=on_standby)),
        Bind(_NAME, _NAME, (), (), ()),
        Execute(_NAME),
        Close(Target.PORTAL, _NAME),
        Close(Target.STATEMENT, _NAME),
        Sync(),
    )
    return b"".join(message.encode() for message in messages)


def state_query(cache: str, settings: Sequence[str] = (), *, names: bool = False, on_standby: bool = False) -> bytes:
    """Return the statement that asks for the state, as SQL text; see `state_request` for the arguments.

    Everything is qualified: the session's search_path decides nothing here.
    """
    ours, manners, policies = (
        ", ".join(f"pg_catalog.current_setting({_quoted(name)}, true)" for name in asked)
        for asked in (_SETTINGS, _MANNERS, settings)
    )
    canary = (
        f"NULL, 'server', {SERVER}"
        if on_standby
        else "(SELECT c.canary FROM tidegate.canary c "  # noqa: S608 - as below
        f"WHERE c.cache OPERATOR(pg_catalog.=) {_quoted(cache)}::pg_catalog.text)"
    )
    return (
        "SELECT pg_catalog.json_build_object("  # noqa: S608 - of constants, and the cache's own name, quoted
        "'user', current_user, 'login', session_user, 'database', pg_catalog.current_database(), "
        "'temporary', pg_catalog.pg_my_temp_schema()::pg_catalog.int8, "
        f"'schemas', {_SCHEMAS}, "
        "'standby', pg_catalog.pg_is_in_recovery(), "
        "'listens', EXISTS (SELECT FROM pg_catalog.pg_listening_channels()), "
        "'timeline', CASE WHEN pg_catalog.pg_is_in_recovery() THEN '' ELSE pg_catalog.substr("
        "pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END, "
        f"'canary', {canary}, "
        f"'settings', pg_catalog.json_build_array({ours}), 'manners', pg_catalog.json_build_array({manners}), "
        f"'policies', pg_catalog.json_build_array({policies}), "
        f"'prepared', {_PREPARED if names else 'NULL'})"
    ).encode()


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def parse_state(row: bytes, asked: Sequence[str] = (), followed: StreamEpoch | None = None) -> SessionState:
    """Read the answer to `state_query`.

    Args:
        row: The only column of the only row, as text.
        asked: Names of the settings for policies that were asked for.
        followed: The history that is followed, if there is one: a standby of its primary takes part in it.

    Raises:
        ValueError: The row is not what the statement gives.
    """
    try:
        found: dict[str, Any] = json.loads(row.decode("utf-8", "surrogateescape"))
        settings = dict(zip(_SETTINGS, found["settings"], strict=True))
        server = _take_part(found, followed)
        identity = json.dumps(
            [found[part] for part in ("user", "login", "database", "schemas", "settings", "timeline", "canary")]
        ).encode()
        schemas = tuple(str(schema) for schema in found["schemas"] or ())
        timeline, canary = str(found["timeline"]), str(found["canary"] or "")
        statement_timeout, consistency, max_staleness, ageing_ttl, token, client_min_messages = found["manners"]
        refusal = Reason.STANDBY if found["standby"] and server is None else ""
        refusal, listens = _refusal(found, settings, consistency or "") or refusal, bool(found["listens"])
        bound = _bound(max_staleness)
        policies = tuple(
            (name, None if value is None else setting_digest(value))
            for name, value in zip(asked, found["policies"], strict=True)
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"unexpected session state: {error!r}") from error
    key = blake2b(identity, digest_size=_DIGEST_BYTES).digest()
    return SessionState(
        schemas,
        timeline,
        canary,
        key,
        refusal or (Reason.UNKNOWN_MAX_STALENESS if bound is None and max_staleness else ""),
        parse_duration(statement_timeout),  # as Postgres shows it: a number and a unit, or a bare 0
        listens,
        Consistency(consistency.lower()) if consistency and refusal != Reason.UNKNOWN_CONSISTENCY else None,
        _ageing_ttl(ageing_ttl),
        str(client_min_messages).startswith("debug"),
        bound,
        token or "",
        _digest([settings[name] for name in _READING]),
        policies,
        blake2b(key + repr(policies).encode(), digest_size=_DIGEST_BYTES).digest() if policies else key,
        server,
        bool(found["standby"]),
    )


def _bound(setting: str | None) -> float | None:
    """Read the bound that a session asks for; None where it asks for none, or what it says is none."""
    try:
        return parse_bound(setting) if setting else None
    except ValueError:
        return None


def _take_part(found: dict[str, Any], followed: StreamEpoch | None) -> Server | None:
    """Return which standby a session is on, if it is one of the followed primary; then it takes part in its history."""
    server = found.get("server")
    if not found["standby"] or server is None or followed is None:
        return None
    if (server["system"], int(server["oid"])) != (followed.system, followed.database):
        return None
    found["timeline"], found["canary"] = followed.timeline, followed.canary
    return Server(str(server["started_at"]), str(server["address"]))


def backend_of(row: bytes) -> int:
    """Return the process id of the standby's backend that answered `state_query`; 0 where it was not asked for."""
    server = json.loads(row.decode("utf-8", "surrogateescape")).get("server")
    return 0 if server is None else int(server["backend"])


def _ageing_ttl(setting: str | None) -> float | None:
    """Read what a session asks for; what is not understood asks for answers that have not aged at all."""
    if not setting:
        return None  # never set, or reset
    try:
        return parse_duration(setting)
    except ValueError:
        return 0.0


def _digest(values: list[str | None]) -> int:
    """Return a number that is above 0."""
    return int.from_bytes(blake2b(json.dumps(values).encode(), digest_size=8).digest()) + 1


def setting_digest(value: str) -> bytes:
    """Return what stands for a setting's value in keys."""
    return blake2b(value.encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).digest()


def prepared_names(row: bytes) -> frozenset[bytes]:
    """Return the names of statements that are prepared, from the answer to a `state_query` that asked for them.

    Raises:
        ValueError: The row is not what the statement gives.
    """
    try:
        found: dict[str, Any] = json.loads(row.decode("utf-8", "surrogateescape"))
        return frozenset(str(name).encode("utf-8", "surrogateescape") for name in found["prepared"] or ())
    except (KeyError, TypeError) as error:
        raise ValueError(f"unexpected session state: {error!r}") from error


class SharedStates:
    """The states of one cache's sessions. Most sessions differ in nothing, so equal states are one object."""

    def __init__(self) -> None:
        self._states: dict[SessionState, SessionState] = {}

    def read(self, row: bytes, asked: Sequence[str] = (), followed: StreamEpoch | None = None) -> SessionState:
        """Read the answer to `state_query`; see `parse_state` for the arguments.

        Raises:
            ValueError: As `parse_state`.
        """
        state = parse_state(row, asked, followed)
        if len(self._states) >= _MOST_SHARED:
            self._states.clear()  # who has one keeps it
        return self._states.setdefault(state, state)


def _refusal(found: dict[str, Any], settings: dict[str, str | None], consistency: str) -> str:
    if consistency.lower() == Consistency.OFF:
        return Reason.CONSISTENCY_OFF
    if consistency and consistency.lower() not in tuple(Consistency):
        return Reason.UNKNOWN_CONSISTENCY
    if found["temporary"] or found["schemas"] is None:
        return Reason.TEMPORARY_SCHEMA  # a temporary table may shadow any name (hazard H22)
    if settings["client_encoding"] != "UTF8":
        return Reason.CLIENT_ENCODING
    if settings["standard_conforming_strings"] != "on":
        return Reason.NONSTANDARD_STRINGS
    if settings["array_nulls"] != "on":
        return Reason.NONSTANDARD_ARRAYS  # NULL in an array would be a text, and tags leave it out
    if _is_far_off(settings["TimeZone"]):
        return Reason.FAR_TIME_ZONE
    if settings["default_transaction_isolation"] != "read committed":
        return Reason.ISOLATION_LEVEL
    return ""


def _is_far_off(time_zone: str | None) -> bool:
    """Whether a time zone may be further from UTC than a tag takes into account (`order_keys`), 16 hours.

    No zone in the tables is. But `<x>-100` is one for Postgres, which allows a week: each number in front of a comma
    (behind it are the days on which summer time begins) is hours there, and summer time an hour more. What is in angle
    brackets is the zone's name.
    """
    hours = _ZONE_HOURS.findall(_ZONE_NAME.sub("", time_zone or "").partition(",")[0])
    return any(int(found) >= _FAR_HOURS for found in hours)
