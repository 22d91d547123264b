"""What a client sends, as a value that can be generated, shrunk, written down and played again.

A stream is a list of steps on one or two connections. A step is a stretch of messages, where to cut its bytes into
packets, and whether the client reads all answers that are due before it goes on (`ahead`: it does not).
"""

from dataclasses import dataclass
from itertools import pairwise

from services.shared.pgwire.frontend import FrontendMessage


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that need be no message of the protocol."""

    data: bytes

    def encode(self) -> bytes:
        """Return the bytes."""
        return self.data


Message = FrontendMessage | Raw


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of client bytes.

    Attributes:
        messages: What is sent.
        on: Number of the connection, 0 or 1.
        ahead: Go on without waiting for the answers.
        settled: Before it, wait until the cache has caught up with every write (on the direct side there is nothing to
            wait for).
        cuts: Offsets into the bytes, each taken modulo their number, where a packet ends.
    """

    messages: tuple[Message, ...]
    on: int = 0
    ahead: bool = False
    settled: bool = False
    cuts: tuple[int, ...] = ()

    def packets(self) -> list[bytes]:
        """Return the bytes as they are to be sent."""
        data = b"".join(message.encode() for message in self.messages)
        edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in self.cuts)})
        return [data[start:end] for start, end in pairwise(edges)]


@dataclass(frozen=True, slots=True)
class Stream:
    """What is played.

    Attributes:
        steps: In order.
        startup: Pairs of the start-up packet of connection 0, over the usual ones.
        why: What a stored one proves.
    """

    steps: tuple[Step, ...]
    startup: tuple[tuple[str, str], ...] = ()
    why: str = ""

    @property
    def connections(self) -> int:
        """How many connections it needs."""
        return 1 + max((step.on for step in self.steps), default=0)
