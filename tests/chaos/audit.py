"""When all is quiet: does every cached entry say what Postgres says? In the worker's memory and in Redis."""

import asyncio

import psycopg
import redis.asyncio

from services.proxy.cache.entry import Answer
from services.shared.keyspace.scripts import Bucket, EntryHit
from services.shared.pgwire.fields import FieldReader
from services.shared.pgwire.rows import read_data_row
from tests.chaos import tables
from tests.chaos.checker import permanently_stale
from tests.chaos.stack import CACHE, Stack
from tests.chaos.workload import Workload, fresh_values

_HEADER_BYTES = 5
_SAMPLED_BULK_ROWS = 5


def lost_evictions(stack: Stack, workload: Workload) -> list[str]:
    """Describe the cached values that are wrong, now that nobody writes and the bound has passed."""
    fresh = fresh_values(stack.direct_url)
    found = permanently_stale(_answers(stack, workload), fresh)
    return found + [f"{line} (Redis)" for line in permanently_stale(asyncio.run(_stored(stack)), fresh)]


def _answers(stack: Stack, workload: Workload) -> list[tuple[str, int]]:
    """Ask the proxy everything that a reader may have asked, twice."""
    values: list[tuple[str, int]] = []
    with psycopg.connect(stack.proxied_url, autocommit=True) as connection:
        session = workload.new_session("audit")
        for _ in range(2):
            for item in tables.ALL_ITEMS:
                values += workload.read(connection, tables.READ_ITEM, item, session)
            for group in tables.GROUPS:
                values += workload.read(connection, tables.READ_GROUP, group, session)
            for number in range(_SAMPLED_BULK_ROWS):
                values += workload.read(connection, tables.READ_BULK, tables.bulk_id(number), session)
    return values


async def _stored(stack: Stack) -> list[tuple[str, int]]:
    """Return what the valid entries in Redis say."""
    async with redis.asyncio.Redis.from_url(stack.redis.url) as client:
        bucket = Bucket(client, CACHE, 1)
        prefix = bucket.keys.entry(b"")
        names = [name async for name in client.scan_iter(match=f"{prefix}*", count=1000)]
        replies = await bucket.read_all([bytes.fromhex(name.decode().removeprefix(prefix)) for name in names])
    hits = (reply for reply in replies if isinstance(reply, EntryHit))
    return [value for hit in hits for value in _rows(Answer.decode(hit.entry.body).rows)]


def _rows(messages: bytes) -> list[tuple[str, int]]:
    """Read the rows of an answer: ids and versions, as text."""
    found, at = [], 0
    while at < len(messages):
        end = at + 1 + int.from_bytes(messages[at + 1 : at + _HEADER_BYTES], "big")
        row_id, version = read_data_row(FieldReader(messages[at + _HEADER_BYTES : end])).values
        assert row_id is not None
        assert version is not None
        found.append((tables.key_of(int(row_id)), int(version)))
        at = end
    return found
