"""A process ends when it is told to, cleans up, and never hangs."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from services.shared.runtime.lifecycle import EXIT_BUG, run_together, run_until_stopped

_PROGRAM = """
import asyncio, sys
from services.shared.runtime.lifecycle import run_until_stopped
from services.shared.runtime.logging import configure_logging
from services.shared.runtime.settings import ProcessSettings

configure_logging(ProcessSettings(), service="s", process="p")

async def main():
    print("ready", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        {cleanup}
        print("clean", flush=True)

print("stopped", run_until_stopped(main, grace_seconds={grace}))
"""


def _signalled(cleanup: str, grace: float, *numbers: signal.Signals) -> tuple[int, str]:
    program = _PROGRAM.format(cleanup=cleanup, grace=grace)
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            if len(numbers) > 1:
                assert process.stdout.readline() in ("cleaning\n", "")
        output = process.stdout.read()
    return process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_clean_up(number: signal.Signals) -> None:
    assert _signalled("await asyncio.sleep(0.01)", 10, number) == (0, "clean\nstopped True\n")


def test_a_cleanup_that_hangs_is_cut_off() -> None:
    assert _signalled("await asyncio.sleep(60)", 0.1, signal.SIGTERM) == (EXIT_BUG, "")


def test_a_cleanup_that_hangs_is_cut_off_also_when_nobody_reads_the_log() -> None:
    assert _signalled("sys.stderr.close(); await asyncio.sleep(60)", 0.1, signal.SIGTERM) == (EXIT_BUG, "")


def test_a_second_signal_ends_it_at_once() -> None:
    cleanup = "print('cleaning', flush=True); await asyncio.sleep(60)"
    assert _signalled(cleanup, 60, signal.SIGTERM, signal.SIGINT) == (EXIT_BUG, "")


def test_work_that_ends_by_itself_was_not_stopped() -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    assert run_until_stopped(main) is False


def test_what_the_work_raises_comes_out() -> None:
    async def main() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_until_stopped(main)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_this_process_leaves_the_signals_as_they_were(number: signal.Signals) -> None:
    def own(*_: object) -> None:
        pytest.fail("the signal was for what ran")

    async def main() -> None:
        os.kill(os.getpid(), number)
        await asyncio.sleep(10)

    before = signal.signal(number, own)
    try:
        assert run_until_stopped(main) is True
        assert signal.getsignal(number) is own
    finally:
        signal.signal(number, before)


def test_the_first_failure_ends_all_and_comes_out_alone() -> None:
    ended: list[str] = []

    async def lasting() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("lasting")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(run_together({"lasting": lasting, "failing": failing}))
    assert ended == ["lasting"]


def test_all_may_end_by_themselves() -> None:
    async def short() -> None:
        await asyncio.sleep(0)

    asyncio.run(run_together({"a": short, "b": short}))


def test_a_service_that_a_leaked_cancellation_ends_has_failed() -> None:
    async def leaking() -> None:
        abandoned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        abandoned.cancel()
        await abandoned

    with pytest.raises(RuntimeError, match="cancelled by nobody"):
        asyncio.run(run_together({"leaking": leaking}))
