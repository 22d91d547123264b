"""The quarantine as commands see it: read from Redis once, and what it means for an explanation."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from services.proxy.explain.explanation import Explanation
from services.proxy.reasons import ADVICE, Reason
from services.shared.keyspace.quarantined import Quarantined, QuarantineList
from services.shared.keyspace.runner import BucketUnavailable
from services.shared.redis_client import connect
from services.shared.runtime.settings import CacheSettings

_SECONDS = 2.0

_Result = TypeVar("_Result")


def ask(settings: CacheSettings, question: Callable[[QuarantineList], Awaitable[_Result]]) -> _Result:
    """Ask the list of a cache something.

    Raises:
        BucketUnavailable: Redis does not answer.
    """

    async def asked() -> _Result:
        async with connect(settings.redis_url.get_secret_value(), settings.prefix, _SECONDS, _SECONDS) as client:
            return await question(QuarantineList(client, settings.name, _SECONDS))

    return asyncio.run(asked())


async def quarantined(shared: QuarantineList) -> list[Quarantined]:
    """Return what is held back now, oldest first."""
    found = [one for one in await shared.all() if not one.released]
    return sorted(found, key=lambda one: one.since)


def held_back(explanation: Explanation, settings: CacheSettings) -> Explanation:
    """Return an explanation that says so, if its template is quarantined, as far as Redis can be asked."""
    if not explanation.cacheable:
        return explanation
    try:
        found = ask(settings, quarantined)
    except BucketUnavailable:
        return explanation
    if all(one.template != explanation.template for one in found):
        return explanation
    reason = Reason.QUARANTINED
    return replace(explanation, cacheable=False, reason=str(reason), advice=ADVICE[reason])
