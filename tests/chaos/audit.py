"""When all is quiet: does every cached entry say what Postgres says? In the worker's memory and in Redis."""

import asyncio
from collections.abc import Iterable, Sequence

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
_EVERYTHING = (
    (tables.READ_ITEM, tables.ALL_ITEMS),
    (tables.READ_GROUP, tables.GROUPS),
    (tables.READ_BULK, [tables.bulk_id(number) for number in range(_SAMPLED_BULK_ROWS)]),
)
"""All that a reader may have asked."""


def lost_evictions(stack: Stack, workload: Workload, keys: Iterable[int] = ()) -> list[str]:
    """Describe the cached values that are wrong, now that nobody writes and the bound has passed.

    Args:
        stack: Where.
        workload: Whose.
        keys: The items to look at, in the proxies alone; none: at everything that is cached anywhere.
    """
    fresh = fresh_values(stack.direct_url)
    if keys:
        return permanently_stale(_answers(stack, workload, [(tables.READ_ITEM, keys)]), fresh)
    found = permanently_stale(_answers(stack, workload, _EVERYTHING), fresh)
    return found + [f"{line} (Redis)" for line in permanently_stale(asyncio.run(_stored(stack)), fresh)]


def _answers(stack: Stack, workload: Workload, asked: Sequence[tuple[str, Iterable[int]]]) -> list[tuple[str, int]]:
    """Ask each proxy all of it, twice."""
    values: list[tuple[str, int]] = []
    for _ in stack.of("proxy"):  # workers share a port: then chance has it
        with psycopg.connect(stack.proxied_url, autocommit=True) as connection:
            session = workload.new_session("audit")
            for sql, arguments in (*asked, *asked):
                for argument in arguments:
                    values += workload.read(connection, sql, argument, session)
    return values


async def _stored(stack: Stack) -> list[tuple[str, int]]:
    """Return what the valid entries in Redis say."""
    async with redis.asyncio.Redis.from_url(stack.redis.url) as client:
        bucket = Bucket(client, CACHE, stack.partitions)
        prefix = bucket.keys.entry(b"")
        names = [name async for name in client.scan_iter(match=f"{prefix}*", count=1000)]
        replies = await bucket.read_all([bytes.fromhex(name.decode().removeprefix(prefix)) for name in names])
    hits = (reply for reply in replies if isinstance(reply, EntryHit))
    return [value for hit in hits for value in _values(hit.entry.body)]


def _values(body: bytes) -> list[tuple[str, int]]:
    try:
        return _rows(Answer.decode(body).rows)
    except ValueError:
        return []  # an answer that ages is kept in another form; none of the workload's does


def _rows(messages: bytes) -> list[tuple[str, int]]:
    """Read the rows of an answer: ids and versions, as text. Rows of another form are not the workload's."""
    found, at = [], 0
    while at < len(messages):
        end = at + 1 + int.from_bytes(messages[at + 1 : at + _HEADER_BYTES], "big")
        values = read_data_row(FieldReader(messages[at + _HEADER_BYTES : end])).values
        if len(values) == 2 and None not in values:
            row_id, version = values
            found.append((tables.key_of(int(row_id or 0)), int(version or 0)))
        at = end
    return found
