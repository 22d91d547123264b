"""Errors of the Kafka client, turned into those of the event log in one place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import (  # type: ignore[import-untyped]  # it ships no types
    ClusterAuthorizationFailedError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from services.shared.eventlog.log import LogGap, LogUnavailable, LogUnsuitable


@asynccontextmanager
async def translated(seconds: float) -> AsyncIterator[None]:
    """Limit the time of what happens inside, and translate what it raises.

    Raises:
        LogGap: A place lies outside of what the topic holds.
        LogUnsuitable: We are not allowed to do it.
        LogUnavailable: Anything else that Kafka reports, or no answer in time.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except OffsetOutOfRangeError as error:
        raise LogGap(f"the place read from is not in the topic any more: {error}") from error
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as error:
        raise LogUnsuitable(
            f"Kafka does not allow what we do ({error}): grant the rights that `tidegate check` names"
        ) from error
    except TimeoutError as error:
        raise LogUnavailable(f"event log on Kafka: no answer within {seconds:g} s") from error
    except (KafkaError, OSError) as error:
        raise LogUnavailable(f"event log on Kafka: {error}") from error
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise LogUnavailable("event log on Kafka: the client gave up a request of its own") from error


def is_cancelled() -> bool:
    """Tell whether somebody asked the current task to end. If not, a cancellation is the client's own, leaked."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
