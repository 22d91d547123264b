"""What following changes asks of a server and of our role, and what to do where it is not so. Pure.

The CDC service refuses to start on what fails here; `tidegate setup`, `check` and `up` say the same words.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.cdc.statements import quote
from services.shared.runtime.finding import Finding, Level, failed

OLDEST_MAJOR = 14
NO_LIMIT = -1


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself and of our role.

    Attributes:
        major: Its major version.
        standby: Whether it is in recovery.
        wal_level: The setting.
        encoding: Of the database.
        slots, slots_taken: How many replication slots there can be, and are.
        slot_known: Whether one of them has our slot's name.
        slot_read: Whether somebody reads that one.
        senders, senders_taken: How many WAL senders there can be, and are.
        slot_cap: max_slot_wal_keep_size in MB; -1: none.
        role: Our role.
        database: The database.
        may_replicate: Whether our role may.
        may_create: Whether it may make schemas and publications in the database.
        schema_known, schema_open: Whether there is a schema `tidegate`, and our role may make tables in it.
        tables_known, tables_open: Whether its tables are there, and our role may write them.
        publication_known: Whether our publication is there.
    """

    major: int
    standby: bool
    wal_level: str
    encoding: str
    slots: int
    slots_taken: int
    slot_known: bool
    slot_read: bool
    senders: int
    senders_taken: int
    slot_cap: int
    role: str
    database: str
    may_replicate: bool
    may_create: bool
    schema_known: bool
    schema_open: bool
    tables_known: bool
    tables_open: bool
    publication_known: bool


def server_findings(facts: ServerFacts) -> list[Finding]:
    """Judge a server, topic by topic."""
    return [finding for judge in _JUDGES for finding in judge(facts)]


def useless(facts: ServerFacts) -> bool:
    """Tell whether nothing can be prepared on this server, whatever rights our role gets."""
    return facts.standby or facts.major < OLDEST_MAJOR or facts.encoding == "SQL_ASCII"


def may_prepare(facts: ServerFacts) -> bool:
    """Tell whether our role may make, or has, all that is ours in the database."""
    return not failed(_creation(facts))


def _version(facts: ServerFacts) -> Iterable[Finding]:
    if facts.major < OLDEST_MAJOR:
        text = f"The server is Postgres {facts.major}; Tidegate needs {OLDEST_MAJOR} or newer"
        yield Finding(Level.FAIL, "version", text, "upgrade it")
    else:
        yield Finding(Level.OK, "version", f"The server is Postgres {facts.major}")


def _primary(facts: ServerFacts) -> Iterable[Finding]:
    if facts.standby:
        text = "This server is a standby, which cannot say what is committed"
        yield Finding(Level.FAIL, "primary", text, "point database_url to the primary")
    else:
        yield Finding(Level.OK, "primary", "It is the primary")


def _encoding(facts: ServerFacts) -> Iterable[Finding]:
    if facts.encoding == "SQL_ASCII":
        text = "The database has no encoding (SQL_ASCII), so its text cannot be compared and nothing is cached"
        yield Finding(Level.FAIL, "encoding", text, "move it to a database with an encoding, such as UTF8")
    else:
        yield Finding(Level.OK, "encoding", f"The database's encoding is {facts.encoding}")


def _wal_level(facts: ServerFacts) -> Iterable[Finding]:
    if facts.wal_level != "logical":
        command = "ALTER SYSTEM SET wal_level = 'logical'"
        yield Finding(
            Level.FAIL,
            "wal_level",
            f"wal_level is {facts.wal_level}, and changes can only be followed where it is logical",
            f"{command}, then restart Postgres (a managed service has a parameter for it, such as "
            "rds.logical_replication or cloudsql.logical_decoding)",
            (command,),
        )
    else:
        yield Finding(Level.OK, "wal_level", "wal_level is logical")


def _slots(facts: ServerFacts) -> Iterable[Finding]:
    if not facts.slot_known and facts.slots_taken >= facts.slots:
        yield Finding(
            Level.FAIL,
            "slots",
            f"All {facts.slots} replication slots are taken",
            "drop one that nobody uses (pg_replication_slots), or raise max_replication_slots and restart Postgres",
        )
    else:
        yield Finding(Level.OK, "slots", f"{facts.slots_taken} of {facts.slots} replication slots are taken")


def _senders(facts: ServerFacts) -> Iterable[Finding]:
    if not facts.slot_read and facts.senders_taken >= facts.senders:
        text = (
            f"All {facts.senders} WAL senders are taken" if facts.senders else "max_wal_senders is 0: nobody can follow"
        )
        yield Finding(Level.FAIL, "senders", text, "raise max_wal_senders (10 is its default) and restart Postgres")
    else:
        yield Finding(Level.OK, "senders", f"{facts.senders_taken} of {facts.senders} WAL senders are taken")


def _replication(facts: ServerFacts) -> Iterable[Finding]:
    if not facts.may_replicate:
        command = f"ALTER ROLE {quote(facts.role)} REPLICATION"
        yield Finding(
            Level.FAIL,
            "role",
            f"The role {facts.role} may not replicate",
            f"{command} (on RDS: GRANT rds_replication TO {quote(facts.role)}), or name another role",
            (command,),
        )
    else:
        yield Finding(Level.OK, "role", f"The role {facts.role} may replicate")


def _creation(facts: ServerFacts) -> Iterable[Finding]:
    role = quote(facts.role)
    missing = [
        what
        for what, known in (("a schema", facts.schema_known), ("a publication", facts.publication_known))
        if not known
    ]
    if missing and not facts.may_create:
        command = f"GRANT CREATE ON DATABASE {quote(facts.database)} TO {role}"
        text = f"The role {facts.role} may not create {' and '.join(missing)} in the database {facts.database}"
        yield Finding(Level.FAIL, "role", text, command, (command,))
    if facts.schema_known and not facts.tables_known and not facts.schema_open:
        command = f"GRANT USAGE, CREATE ON SCHEMA tidegate TO {role}"
        text = f"The role {facts.role} may not create tables in the schema tidegate"
        yield Finding(Level.FAIL, "role", text, command, (command,))
    if facts.tables_known and not facts.tables_open:
        commands = (
            f"GRANT USAGE ON SCHEMA tidegate TO {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tidegate TO {role}",
        )
        text = f"The role {facts.role} may not write the tables of the schema tidegate"
        yield Finding(Level.FAIL, "role", text, "; ".join(commands), commands)


def _slot_cap(facts: ServerFacts) -> Iterable[Finding]:
    if facts.slot_cap == NO_LIMIT:
        yield Finding(
            Level.WARN,
            "wal limit",
            "max_slot_wal_keep_size is unlimited, so our replication slot is a temporary one (a slot that nobody reads "
            "would fill the primary's disk): after a restart of the CDC service the cache begins cold",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB', then SELECT pg_reload_conf()",
            ("ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'", "SELECT pg_reload_conf()"),
        )
    else:
        yield Finding(
            Level.OK, "wal limit", f"A slot keeps at most {facts.slot_cap} MB of WAL (max_slot_wal_keep_size)"
        )


_JUDGES: tuple[Callable[[ServerFacts], Iterable[Finding]], ...] = (
    _version,
    _primary,
    _encoding,
    _wal_level,
    _slots,
    _senders,
    _slot_cap,
    _replication,
    _creation,
)
