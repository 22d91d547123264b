"""Tries, without running anything, whether our user in Redis may do what the services do.

Redis decides about a command when it is queued in a transaction. So every one that is needed is queued, and the
connection closed, which discards the transaction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from services.shared.redis_rights import Right, acl_rule, triable
from services.shared.runtime.finding import Finding, Level


async def missing_rights(client: "redis.asyncio.Redis", prefix: str, *, cluster: bool) -> list[Finding]:
    """Name what our user may not do; nothing if it may do everything.

    Args:
        client: A client of it.
        prefix: What the cache's keys begin with.
        cluster: Whether it is a Redis Cluster.

    Raises:
        RedisError, OSError: It cannot be asked.
    """
    wanted = triable(cluster=cluster)
    try:
        refusals = await _try(client, [right.trial(prefix) for right in wanted])
    except NoPermissionError as error:
        return [_finding(["multi"], f" ({error})", prefix, cluster=cluster)]
    if not any(refusals):
        return []
    return [_finding(_named(wanted, refusals, prefix), "", prefix, cluster=cluster)]


async def _try(client: "redis.asyncio.Redis", trials: Sequence[tuple[str, ...]]) -> list[str]:
    """Return of each command why it is refused; empty: it is not.

    Raises:
        NoPermissionError: Transactions are refused.
        RedisError, OSError: It cannot be asked.
    """
    refusals: list[str] = []
    try:
        await _queue(client, trials, refusals)
    finally:
        await client.connection_pool.disconnect()
    return refusals


async def _queue(client: "redis.asyncio.Redis", trials: Sequence[tuple[str, ...]], refusals: list[str]) -> None:
    async with client.client() as connection:
        commands: Any = connection  # not typed
        await commands.execute_command(b"MULTI")  # names as bytes: their replies are not those that redis-py expects
        for name, *arguments in trials:
            try:
                await commands.execute_command(name.encode(), *arguments)
            except NoPermissionError as error:
                refusals.append(str(error))
            except ResponseError:
                refusals.append("")  # another reason, such as a version that knows no such command
            else:
                refusals.append("")


def _named(wanted: Sequence[Right], refusals: Iterable[str], prefix: str) -> list[str]:
    """Name commands, or the keys or the channel, each once."""
    names: dict[str, None] = {}
    for right, refusal in zip(wanted, refusals, strict=True):
        if "to run" in refusal:
            names[right.command + (f" ({right.why})" if right.why else "")] = None
        elif "channel" in refusal:
            names[f"the channel {prefix}cancel"] = None
        elif refusal:
            names[f"the keys {prefix}*"] = None
    return list(names)


def _finding(names: Sequence[str], said: str, prefix: str, *, cluster: bool) -> Finding:
    rule = acl_rule(prefix, cluster=cluster)
    text = f"Our user in Redis lacks rights to: {', '.join(names)}{said}"
    return Finding(Level.FAIL, "redis", text, f"have an administrator run: ACL SETUSER … {rule}")
