"""Looks at the database of a cache, and changes nothing: its session is read-only."""

import asyncio
from dataclasses import dataclass, field

from services.cdc.catalog import read_tables
from services.cdc.control import CONNECT_SECONDS, ControlConnection, Server
from services.cdc.ddl_trigger import find_ddl_trigger
from services.cdc.errors import ConnectionLostError, SetupError
from services.cdc.publication import find_publication
from services.cdc.replication.errors import ReplicationError
from services.cdc.replication.slot import find_slot
from services.cdc.replication.stream import ReplicationConnection
from services.cdc.requirements import ServerFacts, server_findings
from services.cdc.setup import check_same_server, read_facts
from services.installation.ddl_findings import ddl_finding
from services.installation.failover_findings import failover_findings
from services.installation.identities import mending_statements, secured_tables
from services.installation.reaching import reaching
from services.installation.server_remarks import SETTINGS_QUERY, ServerSettings, server_remarks
from services.installation.session_findings import proxies_finding, sessions_findings
from services.installation.slot_findings import SlotLimits, slot_finding
from services.installation.stream_check import stream_findings
from services.installation.table_findings import publication_findings, security_findings, table_findings
from services.shared.lsn import Lsn
from services.shared.runtime.finding import Finding, Level, failed
from services.shared.runtime.lifecycle import Refusal
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings

APPLICATION_NAME = "tidegate-check"


@dataclass(frozen=True, slots=True)
class DatabaseLook:
    """What was found in a database.

    Attributes:
        demands: What following changes asks of the server: the services do not start while one of these fails.
        others: The rest.
        server: Which server it is; None where that cannot be told.
        read_up_to: Insert LSN, if a CDC service follows the changes: the invalidator should come to there.
    """

    demands: list[Finding]
    others: list[Finding] = field(default_factory=list)
    server: Server | None = None
    read_up_to: Lsn | None = None

    @property
    def findings(self) -> list[Finding]:
        """Everything."""
        return [*self.demands, *self.others]


async def look_at_database(cache: CacheSettings) -> DatabaseLook:
    """Look at everything in a database that a cache depends on."""
    try:
        async with reaching(cache.upstream, APPLICATION_NAME, ControlConnection, read_only=True) as control:
            facts = await read_facts(control, cache.slot, cache.publication)
            demands = server_findings(facts)
            if facts.standby:
                return DatabaseLook(demands)  # nothing else can be asked there
            others = await _others(control, cache, facts, usable=not failed(demands))
            read_up_to = await control.insert_lsn() if facts.slot_read else None
            return DatabaseLook(demands, others, await control.server(), read_up_to)
    except Refusal as error:
        return DatabaseLook([Finding(Level.FAIL, "database", str(error))])


async def _others(
    control: ControlConnection, cache: CacheSettings, facts: ServerFacts, *, usable: bool
) -> list[Finding]:
    findings = []
    if usable:
        findings.append(await _replication_finding(control, cache, facts))
    findings += server_remarks(ServerSettings(**dict((await control.fetch(SETTINGS_QUERY))[0])))
    findings += await sessions_findings(control, cache.upstream)
    trigger = await find_ddl_trigger(control)
    findings.append(ddl_finding(trigger, wanted=cache.ddl_trigger, poll_seconds=cache.catalog_poll))
    publication = await find_publication(control, cache.publication)
    tables = await read_tables(control, cache.publication)
    findings += publication_findings(cache.publication, facts.role, publication)
    mending = await mending_statements(control, tables)
    findings += table_findings(cache.publication, publication, tables, cdc_runs=facts.slot_read, mending=mending)
    findings += security_findings(await secured_tables(control))
    slot = await find_slot(control, cache.slot)
    limits = SlotLimits(facts.slot_cap, cache.slot_limit, cache.slot_patience)
    findings.append(slot_finding(cache.slot, slot, limits))
    findings += await stream_findings(control, cache, slot)
    findings += await failover_findings(control, slot, wanted=cache.failover_slot)
    findings.append(await proxies_finding(control))
    return findings


async def _replication_finding(control: ControlConnection, cache: CacheSettings, facts: ServerFacts) -> Finding:
    """Open a replication connection: a pooler, or pg_hba.conf, may let only the other kind in."""
    if facts.slot_read and facts.senders_taken >= facts.senders:
        return Finding(Level.OK, "replication", "The CDC service has the last WAL sender")
    try:
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            connection = await ReplicationConnection.open(cache.upstream, APPLICATION_NAME)
            try:
                await check_same_server(await control.server(), connection)
            finally:
                await connection.close()
    except (ReplicationError, SetupError, ConnectionLostError, TimeoutError) as error:
        text = f"There is no replication connection ({mask_secrets(' '.join(str(error).split()))})"
        remedy = "name Postgres itself and not a pooler in database_url, and let our role in by pg_hba.conf"
        return Finding(Level.FAIL, "replication", text, remedy)
    return Finding(Level.OK, "replication", "Replication connections are let in, to the same server")
