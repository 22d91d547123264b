"""The proxy, or a client of it, stands still at the worst moment."""

import contextlib
import socket
import time
from dataclasses import replace

from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.history import now
from tests.chaos.meter import longest_bypass
from tests.chaos.stack import Plan, Stack
from tests.servers.postgres import SUPERUSER

_AGE_SECONDS = 2
_FROZEN_SECONDS = 7.0  # evictions are remembered for two generations of that age at the most
_UNDER_WAY_SECONDS = 0.3
_UNREAD_SECONDS = 4.0
_QUESTIONS = 20_000
_ANSWER_BYTES = 600  # about, of a group of rows
_MOST_GROWTH_BYTES = 64 * 1024**2
_PROTOCOL = (3 << 16).to_bytes(4, "big")
_RECEIVED_BYTES = 1 << 16


class FrozenBeforeFill(Fault):
    """Answers to its queries are under way when the proxy freezes, for longer than any eviction is remembered."""

    name = "proxy stopped between query and fill, for longer than evictions are remembered"
    expected = "what it keeps when it wakes is refused: floors, and positions"
    plan = replace(Plan(), kafka=False, settings={"max_entry_age": f"{_AGE_SECONDS}s"})

    def strike(self, scene: Scene) -> None:
        """Hold the answers back, freeze the proxy, deliver them, wait, wake it."""
        link, proxy = scene.stack.links["proxy-postgres"], scene.stack.proxy
        rotations = scene.stack.services["invalidator"].metric("tidegate_invalidator_rotations_total")
        scene.strike()
        link.stall_replies()
        scene.let_pass(_UNDER_WAY_SECONDS)  # entries age, so readers ask for some of them all the time
        proxy.pause()
        try:
            link.mend()
            scene.let_pass(_FROZEN_SECONDS)
            rotated = scene.stack.services["invalidator"].metric("tidegate_invalidator_rotations_total") - rotations
        finally:
            proxy.resume()
        scene.mend()
        scene.remarks.append(f"the older half of the evictions was forgotten {rotated:.0f} times meanwhile")
        assert rotated >= 2, "the evictions were not forgotten: nothing was tried"
        wait_services(scene.stack)


class SlowReader(Fault):
    """A client asks for megabytes and reads nothing, then reads all of it."""

    name = "a client sends 20,000 reads and does not take the answers"
    expected = "it waits; nobody else does, and the proxy's memory stays bounded"
    plan = replace(Plan(), kafka=False)

    def strike(self, scene: Scene) -> None:
        """Ask, do not read, look at the others, read."""
        before = _memory(scene.stack)
        scene.strike()
        with _logged_in(scene.stack) as client:
            client.setblocking(False)
            question = _query(f"SELECT id, version FROM items WHERE grp = {tables.GROUPS[-2]} ORDER BY id")
            unsent = memoryview(question * _QUESTIONS)
            until = now() + _UNREAD_SECONDS
            while now() < until:
                with contextlib.suppress(BlockingIOError):
                    unsent = unsent[client.send(unsent) :] if unsent else unsent
                scene.let_pass(0.01)
            grown = _memory(scene.stack) - before
            bypass = longest_bypass(scene.meter.samples, scene.struck_at, now())
            scene.mend()
            answered = _drain(client, unsent)
        scene.remarks.append(f"others without a hit for {bypass:.2f} s at most, memory grew by {grown >> 20} MiB")
        assert answered == _QUESTIONS, f"{answered} of {_QUESTIONS} answers came"
        assert grown < _MOST_GROWTH_BYTES
        assert bypass < _UNREAD_SECONDS / 2


def _memory(stack: Stack) -> int:
    return sum(int(process.memory_info().rss) for process in stack.proxy.process.tree())


def _logged_in(stack: Stack) -> socket.socket:
    port = int(stack.proxied_url.rpartition(":")[2].partition("/")[0])
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    body = _PROTOCOL + f"user\0{SUPERUSER}\0database\0{SUPERUSER}\0\0".encode()
    client.sendall((len(body) + 4).to_bytes(4, "big") + body)
    received = b""
    while not received.endswith(b"Z\0\0\0\x05I"):
        received += client.recv(_RECEIVED_BYTES)
    return client


def _query(sql: str) -> bytes:
    body = sql.encode() + b"\0"
    return b"Q" + (len(body) + 4).to_bytes(4, "big") + body


def _drain(client: socket.socket, unsent: memoryview) -> int:
    """Send what is left, read everything, and return how many answers came."""
    ready, tail, deadline = 0, b"", time.monotonic() + 60
    while ready < _QUESTIONS and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            unsent = unsent[client.send(unsent) :] if unsent else unsent
        try:
            received = tail + client.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            time.sleep(0.001)
            continue
        ready += received.count(b"Z\0\0\0\x05I")
        tail = received[-5:]
    return ready
