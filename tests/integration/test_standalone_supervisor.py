"""The supervisor keeps its children running, ends them in order, and leaves none behind however it ends itself."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.standalone.child import Child
from services.standalone.program import Program, Service
from services.standalone.supervisor import StartError, Supervisor
from tests.servers.processes import wait_until

_PATIENCE_SECONDS = 30.0  # it takes a moment; a machine with other things to do takes longer
_SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


def _program(code: str, **changes: Any) -> Program:
    return replace(Program((sys.executable, "-c", code), {"PATH": "/usr/bin:/bin"}, Path("/")), **changes)


def _service(name: str, code: str = _SLEEPER, is_ready: Callable[[], Awaitable[bool]] = _yes) -> Service:
    return Service(name, lambda: _program(code), is_ready)


def _stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        for _ in iter(condition, True):
            await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # nobody may be there to bury it
    except psutil.NoSuchProcess:
        return False


def test_a_killed_child_is_started_again_and_the_change_is_announced() -> None:
    async def scenario() -> None:
        announced: list[dict[str, int]] = []
        supervisor = Supervisor(lambda _name, _line: None, lambda: announced.append(supervisor.processes))
        supervisor.start([_service("cdc")])
        await supervisor.wait_ready(_PATIENCE_SECONDS)
        first = supervisor.processes["cdc"]

        os.kill(first, signal.SIGKILL)
        await _until(lambda: supervisor.processes["cdc"] != first)
        second = supervisor.processes["cdc"]
        await supervisor.stop()

        assert announced == [{"cdc": first}, {"cdc": second}]
        assert not _alive(first)
        assert not _alive(second)

    asyncio.run(scenario())


def test_children_are_stopped_in_the_opposite_order_of_their_start() -> None:
    ended: list[str] = []
    last_words = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'stopped\\n'), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )

    async def scenario() -> None:
        up: set[str] = set()

        def receive(name: str, line: str) -> None:
            if line == "stopped":
                ended.append(name)
            else:
                up.add(name)

        supervisor = Supervisor(receive, lambda: None)
        for name in ("postgres", "cdc", "proxy-0"):
            supervisor.start([_service(name, last_words)])
        await _until(lambda: len(up) == 3)
        await supervisor.stop()

    asyncio.run(scenario())

    assert ended == ["proxy-0", "cdc", "postgres"]


def test_a_child_that_stopped_or_does_not_listen_is_ended_all_the_same() -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )

    async def scenario() -> None:
        lines: list[str] = []
        frozen = await Child.start(_program(_SLEEPER), lines.append)
        stubborn = await Child.start(_program(deaf, stop_seconds=0.2), lines.append)
        await _until(lambda: lines == ["up", "up"])
        os.kill(frozen.pid, signal.SIGSTOP)
        await _until(lambda: _stopped(frozen.pid))

        assert await frozen.stop() == -signal.SIGTERM
        assert await stubborn.stop() == -signal.SIGKILL

    asyncio.run(scenario())


def test_what_a_child_leaves_behind_is_ended_with_it() -> None:
    leaves_one = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {_SLEEPER!r}]); print(p.pid)"

    async def scenario() -> None:
        lines: list[str] = []
        child = await Child.start(_program(leaves_one), lines.append)
        await child.wait()
        left_behind = int(next(line for line in lines if line.isdigit()))
        await _until(lambda: not _alive(left_behind))

    asyncio.run(scenario())


def test_a_child_that_never_starts_well_is_reported_with_its_last_words() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(lambda _name, _line: None, lambda: None)
        supervisor.start([_service("cdc", "raise SystemExit('no such slot')", _no)])
        try:
            with pytest.raises(StartError, match=r"(?s)cdc ended 3 times.*no such slot"):
                await supervisor.wait_ready(_PATIENCE_SECONDS)
        finally:
            await supervisor.stop()

    asyncio.run(scenario())


def test_a_child_that_does_not_become_ready_in_time_is_reported() -> None:
    async def scenario() -> None:
        supervisor = Supervisor(lambda _name, _line: None, lambda: None)
        supervisor.start([_service("proxy-0", is_ready=_no)])
        try:
            with pytest.raises(StartError, match="proxy-0 was not ready"):
                await supervisor.wait_ready(0.2)
        finally:
            await supervisor.stop()

    asyncio.run(scenario())


def test_an_endless_line_is_passed_on_in_pieces() -> None:
    async def scenario() -> None:
        lines: list[str] = []
        child = await Child.start(_program("print('x' * 100_000); print('the end', end='')"), lines.append)
        await child.wait()

        assert "".join(lines) == "x" * 100_000 + "the end"
        assert max(len(line) for line in lines) <= 16 * 1024

    asyncio.run(scenario())


def test_a_secret_on_standard_input_is_not_among_the_arguments() -> None:
    async def scenario() -> None:
        lines: list[str] = []
        code = "import sys, time; print(sys.stdin.read(), flush=True); time.sleep(600)"
        child = await Child.start(_program(code, standard_input=b"hunter2"), lines.append)
        await _until(lambda: lines == ["hunter2"])

        assert "hunter2" not in " ".join(psutil.Process(child.pid).cmdline())
        await child.stop()

    asyncio.run(scenario())


_SUPERVISOR_TO_BE_KILLED = f"""
import asyncio, signal, sys
from pathlib import Path
from services.standalone.program import Program, Service
from services.standalone.supervisor import Supervisor

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored

async def ready():
    return True

async def main():
    supervisor = Supervisor(lambda name, line: print(name, line, flush=True), lambda: None)
    argv, environment = (sys.executable, "-c", {_SLEEPER!r}), {{"PATH": "/usr/bin:/bin"}}
    killed = Program(argv, environment, Path("/"))
    asked = Program(argv, environment, Path("/"), death_signal=signal.SIGINT)
    supervisor.start(
        Service(f"{{name}}-{{n}}", lambda program=program: program, ready)
        for n in range(2) for name, program in (("killed", killed), ("asked", asked))
    )
    await supervisor.wait_ready(10)
    print("pids", *supervisor.processes.values(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_no_child_outlives_a_killed_supervisor_not_even_a_stopped_one() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR_TO_BE_KILLED], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        said: list[str] = []
        while len(said) < 5:  # all children are up, and we know their numbers
            said.append(parent.stdout.readline().strip())
        children = [int(word) for word in next(line for line in said if line.startswith("pids")).split()[1:]]
        for frozen in children[:2]:  # one that will be killed, and one that will be asked
            os.kill(frozen, signal.SIGSTOP)
            wait_until(partial(_stopped, frozen), "the child to be stopped")  # the kernel wakes who stands already
        parent.kill()

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a child outlived its supervisor"
        time.sleep(0.01)
