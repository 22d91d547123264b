"""One running child process: start it through the launcher, pass on what it prints, end it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from services.standalone.program import Program

_LAUNCHER = Path(__file__).with_name("launch.py")
_LONGEST_LINE = 16 * 1024  # bytes; a longer line is passed on in pieces, so that a child cannot fill our memory
_LAST_WORDS_SECONDS = 1.0  # for output that is still in the pipe when the child has ended

LineReceiver = Callable[[str], None]


class Lines(asyncio.Protocol):
    """Cuts what a child prints into lines."""

    def __init__(self, receive: LineReceiver) -> None:
        self._receive = receive
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember what is to be closed."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on the lines that are complete, and the start of one that is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._pass_on(line)
        if len(self._rest) > _LONGEST_LINE:
            self._pass_on(self._rest)
            self._rest = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on a last line that has no end."""
        self._pass_on(self._rest)
        self._rest = b""
        if not self._ended.done():
            self._ended.set_result(None)

    async def close(self, patience_seconds: float) -> None:
        """Wait for the end of the output, but not for ever: a grandchild may hold the pipe open."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), patience_seconds)
        if self._transport is not None:
            self._transport.close()

    def _pass_on(self, line: bytes) -> None:
        for start in range(0, len(line), _LONGEST_LINE):
            text = line[start : start + _LONGEST_LINE].decode(errors="replace").rstrip()
            if text:
                self._receive(text)


class Child:
    """A process that was started from a `Program`."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, output: Lines) -> None:
        self._program = program
        self._process = process
        self._output = output

    @classmethod
    async def start(cls, program: Program, receive: LineReceiver) -> "Child":
        """Start a program; its output (both streams) goes to `receive`, line by line.

        Must be called from the main thread: the death signal is tied to the thread that starts the child.

        Raises:
            OSError: It cannot be started (no memory, no process left).
        """
        reading, writing = os.pipe()
        output = await _listen(reading, receive)
        standard_input = os.memfd_create("standard-input", os.MFD_CLOEXEC)
        try:
            os.write(standard_input, program.standard_input)
            os.lseek(standard_input, 0, os.SEEK_SET)
            process = await asyncio.create_subprocess_exec(
                *_launch(program),
                stdin=standard_input,
                stdout=writing,
                stderr=writing,
                env=dict(program.environment),
                cwd=program.working_directory,
                pass_fds=program.inherited_files,
            )
        finally:
            os.close(writing)
            os.close(standard_input)
        return cls(program, process, output)

    @property
    def pid(self) -> int:
        """The process id: the launcher's, which is the program's."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end and for its last words. Returns the exit code; minus the signal's number when killed.

        Cancel-safe: yes, the child goes on.
        """
        code = await self._process.wait()
        self._kill_group()  # what it may have left behind
        await self._output.close(_LAST_WORDS_SECONDS)
        return code

    async def stop(self) -> int:
        """End it: by its own signal first, by force when it has not ended in time. Returns the exit code."""
        self._signal(self._program.stop_signal)
        self._signal(signal.SIGCONT)  # a stopped process would not see the other one
        try:
            return await asyncio.wait_for(self.wait(), self._program.stop_seconds)
        except TimeoutError:
            self._kill_group()
            return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            self._process.send_signal(number)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # empty, or all that is left changed its user
            os.killpg(self._process.pid, signal.SIGKILL)


async def _listen(reading: int, receive: LineReceiver) -> Lines:
    """Pass on what comes out of a pipe; the descriptor is owned by the transport from here on."""
    pipe = os.fdopen(reading, "rb", buffering=0)
    _, output = await asyncio.get_running_loop().connect_read_pipe(lambda: Lines(receive), pipe)
    return output


def _launch(program: Program) -> list[str]:
    """Return the command line that starts a program through the launcher."""
    account = program.account
    user, group = (account.user_id, account.group_id) if account else (-1, -1)
    parameters = [os.getpid(), int(program.death_signal), user, group]
    return [sys.executable, "-I", "-S", str(_LAUNCHER), *(str(number) for number in parameters), *program.argv]
