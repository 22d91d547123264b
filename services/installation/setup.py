"""`tidegate setup`: the database as the CDC service needs it, by the same code; or rehearsed in a read-only session.

The replication slot is not made here: one that nobody reads yet would keep WAL on the primary. The CDC service makes it
when it starts.
"""

from dataclasses import dataclass, field, replace

from services.cdc.catalog import read_tables
from services.cdc.ddl_trigger import find_ddl_trigger, prepare_ddl_trigger
from services.cdc.publication import find_publication
from services.cdc.requirements import NO_LIMIT, ServerFacts, may_prepare, server_findings, useless
from services.cdc.setup import prepare_database, publish_tables, read_facts
from services.installation.ddl_findings import ddl_finding
from services.installation.noted import NotedConnection, RehearsedConnection
from services.installation.reaching import reaching
from services.installation.table_findings import as_if_published, publication_findings, table_findings
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.settings import CacheSettings

APPLICATION_NAME = "tidegate-setup"


@dataclass(frozen=True, slots=True)
class SetupReport:
    """What was done, or would be, and what is left to others.

    Attributes:
        facts: The server.
        before: What there is to say of the server and of our role's rights.
        statements: What was run, or would be.
        after: What there is to say of the publication and the tables then.
    """

    facts: ServerFacts
    before: list[Finding]
    statements: list[str] = field(default_factory=list)
    after: list[Finding] = field(default_factory=list)

    @property
    def first_for_administrator(self) -> list[str]:
        """What somebody with more rights has to run before anything else works."""
        return [statement for finding in failed(self.before) for statement in finding.sql]

    @property
    def then_for_administrator(self) -> list[str]:
        """What somebody with more rights has to run once the publication is there."""
        return [statement for finding in self.after if finding.level is not Level.OK for statement in finding.sql]

    @property
    def if_wanted(self) -> list[str]:
        """What somebody with more rights may run, and all is well without it."""
        return [statement for finding in self.after if finding.level is Level.OK for statement in finding.sql]

    @property
    def complete(self) -> bool:
        """Whether nothing is left that has to be done."""
        return not failed([*self.before, *self.after]) and not self.then_for_administrator

    @property
    def about_slot(self) -> str:
        """What becomes of the replication slot."""
        if self.facts.slot_cap == NO_LIMIT:
            return "a temporary one, because max_slot_wal_keep_size sets no limit to what a slot keeps"
        return f"one that keeps at most {self.facts.slot_cap} MB of WAL (max_slot_wal_keep_size)"


async def set_up(cache: CacheSettings, *, rehearse: bool) -> SetupReport:
    """Prepare the database of a cache as far as our role may.

    Args:
        cache: The cache.
        rehearse: Only note what would be run, in a session in which nothing can be changed.

    Raises:
        Unreachable: There is no connection, or Postgres refused something.
    """
    kind = RehearsedConnection if rehearse else NotedConnection
    async with reaching(cache.upstream, APPLICATION_NAME, kind, read_only=rehearse) as control:
        facts = await read_facts(control, cache.slot, cache.publication)
        before = [finding for finding in server_findings(facts) if finding.level is not Level.OK]
        if useless(facts) or not (rehearse or may_prepare(facts)):
            return SetupReport(facts, before)
        await prepare_database(control, cache.publication)
        trouble = await prepare_ddl_trigger(control, wanted=cache.ddl_trigger)
        refused = await publish_tables(control, cache.publication)
        after = [_refusal(str(table), str(error)) for table, error in refused]
        if trouble:
            after.append(Finding(Level.WARN, "DDL", f"Postgres did not let our role make an event trigger ({trouble})"))
        after += await _left(control, cache, facts.role, rehearse=rehearse)
        return SetupReport(facts, before, control.noted, after)


async def _left(control: NotedConnection, cache: CacheSettings, role: str, *, rehearse: bool) -> list[Finding]:
    """Say what is not as it could be, after all that was done or would be."""
    trigger = await find_ddl_trigger(control)
    publication = await find_publication(control, cache.publication)
    tables = await read_tables(control, cache.publication)
    if rehearse:
        trigger = replace(trigger, works=trigger.works or (cache.ddl_trigger and trigger.allowed and trigger.owned))
        publication, tables = as_if_published(publication, tables)
    return [
        ddl_finding(trigger, wanted=cache.ddl_trigger, poll_seconds=cache.catalog_poll),
        *publication_findings(cache.publication, role, publication),
        *table_findings(cache.publication, publication, tables),
    ]


def _refusal(table: str, reason: str) -> Finding:
    text = f"Postgres did not let {table} into or out of the publication ({reason})"
    return Finding(Level.FAIL, "tables", text, "mend that, then run tidegate setup again", tables=(table,))
