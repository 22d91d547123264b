"""What is to run: a program, its arguments and environment, how it ends. Values only; `child.py` runs them."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.standalone.account import Account


@dataclass(frozen=True, slots=True)
class Program:
    """One start of a program.

    Attributes:
        argv: The program and its arguments; the first is an absolute path. Never a secret: everybody can read them.
        environment: All of its environment (nothing is inherited). Secrets belong here or in `standard_input`.
        working_directory: Where it runs.
        standard_input: What it reads from its standard input.
        account: The user to run it as; None: the present one.
        stop_signal: Asks it to end in good order.
        stop_seconds: How long it may take for that before it is killed.
        death_signal: What the kernel sends it when the supervisor dies without a word. Anything but SIGKILL only where
            it leaves something behind that it should clean up.
        inherited_files: Descriptors that stay open in it (the lock of the data directory).
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: Path
    standard_input: bytes = field(default=b"", repr=False)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    inherited_files: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A program that is to be kept running.

    Attributes:
        name: What people and the ready file call it.
        program: Makes the program for one start: a port may have been taken since the last one.
        is_ready: Whether the program that was started last does its work.
    """

    name: str
    program: Callable[[], Program]
    is_ready: Callable[[], Awaitable[bool]]
