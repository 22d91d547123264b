"""What a session on a hot standby is asked in front of a read: how far has its server got, and is it what it was? Pure.

The question goes out in the same packet as the read, as a turn of its own in front of it. What Postgres has replayed it
shows to every snapshot that is taken later, so the read behind the question shows at least that.
"""

from dataclasses import dataclass

from services.shared.lsn import NO_LSN, Lsn, parse_lsn
from services.shared.pgwire.frontend import Bind, Close, Execute, Parse, Sync, Target

_NAME = b"tidegate_replay"
_PARTS = 4
_STARTED_AT = "EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time())"
_QUERY = (
    "SELECT pg_catalog.format('%s %s %s %s', pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid(), "
    f"{_STARTED_AT}, pg_catalog.pg_last_wal_replay_lsn())"
)

_ADDRESS = "pg_catalog.concat_ws(':', pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.inet_server_port())"
STARTED_AT_AND_ADDRESS = f"({_STARTED_AT})::pg_catalog.text, {_ADDRESS}"
"""SQL for the two fields of a `Server`."""

SERVER = (
    "pg_catalog.json_build_object("  # noqa: S608 - of constants
    "'system', (SELECT s.system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system() s), "
    "'oid', (SELECT d.oid FROM pg_catalog.pg_database d "
    "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()), "
    f"'started_at', ({_STARTED_AT})::pg_catalog.text, "
    f"'address', {_ADDRESS}, "
    "'backend', pg_catalog.pg_backend_pid())"
)
"""SQL for which server a session is on, as JSON; nothing of it needs a right."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running Postgres server, as a session on it can tell it from others.

    Attributes:
        started_at: When its postmaster was started, in seconds: to the microsecond, so it says of which start this is.
        address: Where it listens; empty on a unix socket. A copy of a running machine has the same start.
    """

    started_at: str
    address: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What a session said in front of a read.

    Attributes:
        in_recovery: Its server is a standby.
        backend: Process id of the backend that answered.
        started_at: When its server was started.
        lsn: Everything below has been replayed.
    """

    in_recovery: bool
    backend: int
    started_at: str
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Standing:
    """What the answer to a read on a standby is worth.

    Attributes:
        lsn: It shows everything below.
        refusal: Why it cannot be kept; empty when it may be.
    """

    lsn: Lsn
    refusal: str = ""


def replay_question() -> bytes:
    """Return the question's messages. By the extended protocol: a simple query would remove the unnamed statement."""
    messages = (
        Close(Target.STATEMENT, _NAME),  # what an earlier one that failed half-way left behind
        Parse(_NAME, _QUERY.encode()),
        Bind(_NAME, _NAME, (), (), ()),
        Execute(_NAME),
        Close(Target.STATEMENT, _NAME),
        Sync(),
    )
    return b"".join(message.encode() for message in messages)


def parse_replay(row: bytes | None) -> Replay | None:
    """Read the answer; None when Postgres gave none, or one that is not understood."""
    parts = (row or b"").decode("ascii", "replace").split(" ")
    if len(parts) != _PARTS:
        return None
    in_recovery, backend, started_at, lsn = parts
    try:
        return Replay(in_recovery == "t", int(backend), started_at, parse_lsn(lsn) if lsn else NO_LSN)
    except ValueError:
        return None
