"""Tells admission how busy the worker is."""

import asyncio
from time import thread_time

from services.proxy.admission.pressure import Pressure
from services.proxy.cache.freshness import boot_clock
from services.shared.runtime.processor_wait import ProcessorWait

_PAUSE_SECONDS = 0.1


async def watch_load(pressure: Pressure) -> None:
    """Look now and then at what share of its time the worker works, or waits for a processor. Cancel-safe: yes.

    Args:
        pressure: Who is told.
    """
    wait, ran, at = ProcessorWait(), thread_time(), boot_clock()
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        before_ran, before, ran, at = ran, at, thread_time(), boot_clock()
        has_one = max(1.0 - wait.look(at), 0.01)  # the share of its work in which it has a processor
        pressure.note((ran - before_ran) / has_one / (at - before))
