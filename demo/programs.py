"""Runs the demo's programs: readers and the writer, each a process of its own.

Orders go to their standard input (a URL holds a password), results come back as one line of JSON, and what goes wrong
in them goes to the log.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from demo.audit import Read, Version
from demo.reader import ReaderOrder, ReaderResult
from demo.writer import READY, WriterOrder
from services.shared.runtime.lifecycle import Refusal

_REPOSITORY = Path(__file__).parent.parent
_LARGEST_RESULT = 256 * 1024 * 1024  # bytes of JSON from a reader


class ProgramError(Refusal):
    """The demonstration cannot go on. The message is for people."""


class RunningWriter:
    """The writer at work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def finish(self) -> tuple[int, dict[str, list[Version]]]:
        """Let it stop. Returns the number of changes and the versions of every audited page.

        Raises:
            ProgramError: It failed.
        """
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.close()
        result = await _result(self._process, "writer")
        ledger = {page: [Version(**version) for version in versions] for page, versions in result["ledger"].items()}
        return int(result["changes"]), ledger


class Programs:
    """Starts the programs."""

    def __init__(self, log: TextIO) -> None:
        self._log = log

    async def read(self, order: ReaderOrder) -> ReaderResult:
        """Run a reader to its end.

        Raises:
            ProgramError: It failed.
        """
        async with self._run("demo.reader", asdict(order)) as process:
            result = await _result(process, "reader")
        return ReaderResult(result["microseconds"], [Read(**read) for read in result["audited"]])

    @asynccontextmanager
    async def write(self, order: WriterOrder) -> AsyncIterator[RunningWriter]:
        """Run the writer for as long as the context lasts.

        Raises:
            ProgramError: It failed.
        """
        async with self._run("demo.writer", asdict(order)) as process:
            assert process.stdout is not None, "it was started with a pipe"
            if (await process.stdout.readline()).decode().strip() != READY:
                raise _failed("writer")
            yield RunningWriter(process)

    @asynccontextmanager
    async def _run(self, module: str, order: dict[str, object]) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a program; it is ended when it has not ended by itself."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            limit=_LARGEST_RESULT,
            cwd=_REPOSITORY,
            start_new_session=True,  # Ctrl-C at the terminal is for the demo alone
        )  # fmt: skip
        try:
            assert process.stdin is not None, "it was started with a pipe"
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _result(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    assert process.stdout is not None, "it was started with a pipe"
    line = await process.stdout.readline()
    if not line:
        raise _failed(name)
    result: dict[str, Any] = json.loads(line)
    return result


def _failed(name: str) -> ProgramError:
    return ProgramError(f"A {name} failed; the log says why.")
