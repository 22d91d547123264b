"""Looks at which tables would gain from which replica identity, and at what that would cost. It changes nothing."""

import asyncio
from collections.abc import Sequence

from redis.exceptions import RedisError

from services.cdc.control import ControlConnection
from services.cdc.errors import StatementError
from services.installation.identity_advice import Wanting, Window, advice, cost_of, wanting
from services.installation.identity_facts import Counting, RowTable
from services.installation.identity_queries import read_counting, read_names, read_row_tables, read_sample
from services.installation.reaching import Unreachable, reaching
from services.installation.seen_reads import seen_reads
from services.installation.wal_cost import ChangeCost
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings

_APPLICATION_NAME = "tidegate-check"
_MOST_SAMPLED = 30
"""Tables whose rows are looked at: of a tree of more, the others are taken to be alike."""

_SAMPLING_SECONDS = 10.0  # for all tables of a relation

_PATIENCE = "SET statement_timeout = '5s'"
"""For each statement; a lock is awaited for half a second. Looking at a few pages takes milliseconds."""


async def identity_findings(cache: CacheSettings, measure_seconds: float = 0.0) -> list[Finding]:
    """Say which tables would gain.

    Args:
        cache: The cache.
        measure_seconds: How long to watch the tables for how much they change; 0: go by what Postgres has counted.
    """
    try:
        seen = await seen_reads(cache)
    except (RedisError, OSError, ValueError):
        return []  # what is the matter with Redis is said elsewhere
    relations = {shape.relation for shape in seen.shapes if shape.named}
    if not relations:
        return []
    try:
        async with reaching(cache.upstream, _APPLICATION_NAME, ControlConnection, read_only=True) as control:
            await control.execute(_PATIENCE)
            tables = await read_row_tables(control, relations)
            found = wanting(seen.shapes, tables, await read_names(control, relations))
            costs = {oid: cost for one in found for oid, cost in (await _costs(control, one)).items()}
            window = await _window(control, relations, tables, measure_seconds if found else 0.0)
    except Unreachable as error:
        text = f"Which tables would gain from which replica identity cannot be told ({error})"
        return [Finding(Level.HINT, "identity", text)]
    return [advice(one, seen, costs, window) for one in found]


async def _costs(control: ControlConnection, one: Wanting) -> dict[int, ChangeCost]:
    """Look at rows of the tables that change most."""
    busiest = sorted(zip(one.tables, one.indexes, strict=True), key=lambda pair: -pair[0].updates - pair[0].deletes)
    costs = {}
    give_up_at = asyncio.get_running_loop().time() + _SAMPLING_SECONDS
    for table, index in busiest[:_MOST_SAMPLED]:
        if asyncio.get_running_loop().time() > give_up_at:
            break
        try:
            sample = await read_sample(control, table)
        except StatementError:
            continue  # our role may not read it, or somebody has it locked
        if sample:
            costs[table.oid] = cost_of(one, table, index, sample)
    return costs


async def _window(
    control: ControlConnection, relations: set[int], tables: Sequence[RowTable], measure_seconds: float
) -> Window:
    """Return what has changed since Postgres counts, or watch."""
    before = await read_counting(control)
    if not measure_seconds:
        changes = {table.oid: (table.updates, table.deletes) for table in tables}
        return Window(before.seconds, changes, _wal_per_second(before))
    first = {table.oid: table for table in await read_row_tables(control, relations)}
    began_at = asyncio.get_running_loop().time()
    await asyncio.sleep(measure_seconds)
    after = await read_counting(control)
    seconds = asyncio.get_running_loop().time() - began_at
    last = await read_row_tables(control, relations)
    changes = {
        table.oid: (table.updates - then.updates, table.deletes - then.deletes)
        for table in last
        if (then := first.get(table.oid)) is not None
    }
    return Window(seconds, changes, (after.insert_lsn - before.insert_lsn) / seconds, measured=True)


def _wal_per_second(counting: Counting) -> float | None:
    return counting.wal_bytes / counting.wal_seconds if counting.wal_seconds else None
