"""The life of a process: it runs until its work ends or a signal ends it, and it never hangs on the way out.

The first SIGTERM or SIGINT cancels the work, which then has `grace_seconds` to clean up. A second one, or the end of
the grace, ends the process at once: a supervisor that asked for an end gets one.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping

import uvloop

from services.shared.runtime.logging import get_logger
from services.shared.runtime.refusal import Refusal as Refusal  # raised by services, told by the command line

_log = get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

EXIT_REFUSED = 1
"""Refused by, or for want of, something outside; the message says by what."""

EXIT_WRONG_USE = 2
"""Wrong use of the command line, or wrong settings."""

EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h: what no clause of ours foresaw, or an end that had to be forced."""


def run_until_stopped(main: Callable[[], Coroutine[None, None, None]], grace_seconds: float = 10.0) -> bool:
    """Run a coroutine on uvloop until it ends or a signal ends it.

    Args:
        main: Makes the coroutine, inside the running loop.
        grace_seconds: How long it may take to clean up once it is cancelled.

    Returns:
        True when a signal ended it, False when it ended by itself.

    Raises:
        Exception: Whatever the coroutine raised.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_watched(main, grace_seconds))
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was set from outside of Python, which cannot be undone from here
                signal.signal(number, handler)  # a loop leaves the default behind


async def run_together(services: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
    """Run several coroutines until the first one fails, or all have ended; the others are cancelled then.

    Raises:
        Exception: That of the first one that failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for name, service in services.items():
                group.create_task(_as_coroutine(service), name=name)
    except BaseExceptionGroup as failures:
        raise _first_of(failures) from None


async def _as_coroutine(service: Callable[[], Awaitable[None]]) -> None:
    """Run a service. A task group takes one that was cancelled for one that is done, whoever cancelled it."""
    try:
        await service()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("a service was cancelled by nobody: a library leaked a cancellation of its own") from error


def _first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


async def _watched(main: Callable[[], Coroutine[None, None, None]], grace_seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(main(), name="main")
    received: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        if received:
            _end_now("a second signal came")
        received.append(number)
        work.cancel()
        loop.call_later(grace_seconds, _end_now, "the grace is over")
        _log.info("stopping", signal=number.name, grace_seconds=grace_seconds)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        await work
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return bool(received)


def _end_now(reason: str) -> None:
    """End the process without unwinding: what is left is stuck, and nothing that must last is kept in memory."""
    try:
        _log.error("ended without cleaning up", reason=reason)
    finally:
        os._exit(EXIT_BUG)  # whoever reads the log may be gone already
