"""The network between two parts, with its faults: a TCP relay on the loopback that cuts, stalls and slows.

    with Network() as network:
        link = network.link()           # connect to 127.0.0.1:link.port
        link.target = postgres.port     # … and reach this
        link.stall()                    # nothing arrives any more, and nobody is told: a cable pulled out
        link.stall_replies()            # the same for what comes back alone
        link.cut()                      # connections are reset, and new ones too: a host that is gone
        link.slow(0.2)                  # every piece takes so long
        link.mend()

All links of a network run on one event loop in a thread of its own. What a stalled link has read already it delivers
when it is mended, as TCP would.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
_START_SECONDS = 5.0
_HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: RST instead of FIN


class Link:
    """One way from a part to another; see the module. Its methods may be called from any thread.

    Attributes:
        port: Where it listens.
        target: The port that it leads to.
    """

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], listener: socket.socket, target: int) -> None:
        self._run = run
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.target = target
        self._delay_seconds = 0.0
        self._refuses = False
        self._asks, self._replies = asyncio.Event(), asyncio.Event()  # whether they flow
        self._asks.set()
        self._replies.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset every connection, and every one that comes."""
        self._run(self._cut())

    def stall(self) -> None:
        """Let nothing through, in silence."""
        self.stall_questions()
        self.stall_replies()

    def stall_questions(self) -> None:
        """Let nothing through to where it leads."""
        self._run(self._set(self._asks.clear))

    def stall_replies(self) -> None:
        """Let nothing through that comes back: what was asked is done, and nobody hears of it."""
        self._run(self._set(self._replies.clear))

    def slow(self, seconds: float) -> None:
        """Let every piece wait so long, in each direction."""
        self._delay_seconds = seconds

    def mend(self) -> None:
        """Be a good network again."""
        self._run(self._mend())

    async def serve(self) -> asyncio.Server:
        """Begin to relay."""
        return await asyncio.start_server(self._relay, sock=self._listener, limit=_PIECE_BYTES)

    async def _cut(self) -> None:
        self._refuses = True
        for writer in self._writers:
            _reset(writer)

    async def _mend(self) -> None:
        self._refuses, self._delay_seconds = False, 0.0
        self._asks.set()
        self._replies.set()

    async def _set(self, change: Callable[[], None]) -> None:
        change()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either side ends it."""
        with contextlib.suppress(OSError):
            async with contextlib.AsyncExitStack() as stack:
                self._hold(stack, writer)
                await self._asks.wait()
                if self._refuses:
                    _reset(writer)
                    return
                far_reader, far_writer = await asyncio.open_connection(_HOST, self.target, limit=_PIECE_BYTES)
                self._hold(stack, far_writer)
                ways = [
                    self._pump(reader, far_writer, self._asks),
                    self._pump(far_reader, writer, self._replies),
                ]
                tasks = [asyncio.create_task(way) for way in ways]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

    def _hold(self, stack: contextlib.AsyncExitStack, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers.add(writer)
        stack.callback(self._writers.discard, writer)
        stack.callback(writer.close)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        """Carry one direction. Its end ends the connection: nothing that is relayed here uses half of one."""
        while piece := await reader.read(_PIECE_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await flows.wait()
            writer.write(piece)
            await writer.drain()
        await flows.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


class Network:
    """The thread in which links run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> "Network":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SECONDS)
        self._loop.close()

    def link(self, target: int = 0) -> Link:
        """Make a way to a port of the loopback, which may be told later."""
        listener = socket.create_server((_HOST, 0), backlog=256)
        link = Link(self._run, listener, target)
        self._servers.append(self._run(link.serve()))
        return link

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        relaying = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in relaying:
            task.cancel()
        await asyncio.gather(*relaying, return_exceptions=True)
