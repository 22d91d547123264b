"""Which server is the primary that a cache is on, where that may change: Sentinels are asked, or nodes of a cluster.

All that can be reached are asked at once, and the one that has seen the latest configuration is believed: one that is
cut off from the others goes on calling the old primary the primary, for as long as the partition lasts. Whoever is
believed wrongly does no harm: an old primary gets no more watermarks, so nothing on it is fresh.

Contract: Sentinel counts configurations in `config-epoch`, one for each fail-over
(https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/, "Configuration epochs"); so does a cluster,
one for each change of a slot's owner (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.shared.redis_address import RedisAddress

Node = tuple[str, int]
"""Host and port."""

MakeClient = Callable[[Node], "redis.asyncio.Redis"]

LOOK_SECONDS = 1.0
"""How often it is asked whether the primary is still the same: a partition with two primaries closes no connection."""

_STRAGGLER_SECONDS = 0.25
"""How long those that have not answered are waited for once one has: a host that is gone says nothing at all."""


class PrimaryUnknownError(RedisConnectionError):
    """Nobody who can be reached knows a primary. The text says what they said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one of them said.

    Attributes:
        epoch: The configuration that it rests on.
        node: The primary.
        others: Further nodes that can be asked next time.
    """

    epoch: int
    node: Node
    others: tuple[Node, ...] = ()


class Primary(ABC):
    """Finds the primary and remembers it. One for each client."""

    def __init__(self, address: RedisAddress, make_client: MakeClient, seconds: float) -> None:
        """Prepare.

        Args:
            address: Whom to ask.
            make_client: Makes a client of one of them, which decodes replies. It is given names of commands as bytes,
                so that replies are as they come: redis-py makes other things of some.
            seconds: How long they may take to answer.
        """
        self._address = address
        self._make_client = make_client
        self._seconds = seconds
        self._clients: dict[Node, Any] = {}  # their commands are not typed
        self._node: Node | None = None
        self._others: tuple[Node, ...] = ()
        self._asking: asyncio.Task[Node] | None = None
        self._asked_at = 0.0

    async def find(self) -> Node:
        """Return the primary, asking who that is if it is not known.

        Raises:
            PrimaryUnknownError: Nobody knows.

        Cancel-safe: yes; the question goes on, and its answer is remembered.
        """
        return self._node if self._node is not None else await asyncio.shield(self._ask_once())

    def doubt(self) -> None:
        """Have it asked again before the next connection: who was the primary does not answer, or says it is none."""
        self._node = None

    def look_again(self, moved: Callable[[], None]) -> None:
        """Ask in the background whether it is still the same one, if that is due; call `moved` if it is not."""
        before = self._node
        if before is not None and self._asking is None and time.monotonic() - self._asked_at >= LOOK_SECONDS:
            self._ask_once().add_done_callback(lambda asking: moved() if _differs(asking, before) else None)

    async def aclose(self) -> None:
        """Close the connections to those who were asked."""
        if self._asking is not None:
            self._asking.cancel()
        clients, self._clients = list(self._clients.values()), {}
        await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)

    @abstractmethod
    async def question(self, client: Any, asked: Node) -> Answer:
        """Ask one of them.

        Raises:
            RedisError: It knows no primary.
        """

    def _ask_once(self) -> "asyncio.Task[Node]":
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="who is the primary")
            self._asking.add_done_callback(self._asked)
        return self._asking

    def _asked(self, asking: "asyncio.Task[Node]") -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # retrieved here, in case nobody waits any more

    async def _ask(self) -> Node:
        self._asked_at = time.monotonic()
        nodes = tuple(dict.fromkeys((*self._others, *self._address.nodes)))
        asking = {asyncio.create_task(self._ask_one(node)): node for node in nodes}
        try:
            answers, troubles = await _gather(asking, self._seconds)
        finally:
            for task in asking:
                task.cancel()
        if not answers:
            said = "; ".join(troubles) or "no answer in time"
            raise PrimaryUnknownError(f"no primary is known at {self._address.place} ({said})")
        best = max(answers, key=lambda answer: answer.epoch)
        self._node, self._others = best.node, best.others
        return best.node

    async def _ask_one(self, node: Node) -> Answer:
        client = self._clients.get(node)
        if client is None:
            client = self._clients[node] = self._make_client(node)
        return await self.question(client, node)


class SentinelPrimary(Primary):
    """Asks Sentinels."""

    async def question(self, client: Any, asked: Node) -> Answer:
        """Ask a Sentinel. While it fails a service over, only the short form names the new primary already."""
        service = self._address.service
        found = await client.execute_command(b"SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        if not found:
            raise RedisError(f"{_shown(asked)} knows no service {service}")
        told = await client.execute_command(b"SENTINEL", "MASTER", service)
        facts = dict(zip(told[::2], told[1::2], strict=True))
        return Answer(int(facts.get("config-epoch", 0)), (found[0], int(found[1])))


class ClusterPrimary(Primary):
    """Asks nodes of a cluster who has the slot of a key."""

    def __init__(self, address: RedisAddress, make_client: MakeClient, seconds: float, key: str) -> None:
        """Prepare as `Primary` is; `key` is one in the slot."""
        super().__init__(address, make_client, seconds)
        self._slot = key_slot(key.encode())

    async def question(self, client: Any, asked: Node) -> Answer:
        """Ask a node. Its short list says how clients reach the nodes, the long one how new what it knows is."""
        slots = await client.execute_command(b"CLUSTER", "SLOTS")
        known = await client.execute_command(b"CLUSTER", "NODES")
        for first, last, owner, *_ in slots:
            if first <= self._slot <= last:
                others = [_endpoint(node, asked) for _, _, *nodes in slots for node in nodes]
                return Answer(_config_epoch(known, owner[2]), _endpoint(owner, asked), tuple(dict.fromkeys(others)))
        raise RedisError(f"{_shown(asked)} knows nobody who has the slot {self._slot}")


async def _gather(asking: "dict[asyncio.Task[Answer], Node]", seconds: float) -> tuple[list[Answer], list[str]]:
    """Wait for the answers of those who answer."""
    answers: list[Answer] = []
    troubles: list[str] = []
    waiting = set(asking)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds) as limit:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in filter(done.__contains__, asking):  # in the order in which they are named
                    error = task.exception()
                    if error is None:
                        answers.append(task.result())
                    elif isinstance(error, RedisError | OSError):
                        troubles.append(str(error) or type(error).__name__)
                    else:
                        raise error
                if answers:
                    soon = asyncio.get_running_loop().time() + _STRAGGLER_SECONDS
                    limit.reschedule(min(soon, limit.when() or soon))
    return answers, troubles


def _differs(asking: "asyncio.Task[Node]", before: Node) -> bool:
    return not asking.cancelled() and asking.exception() is None and asking.result() != before


def _endpoint(node: Any, asked: Node) -> Node:
    """Return how a client reaches a node; one that does not know its own address is the one that was asked."""
    host, port = node[0], int(node[1])
    return (host if host not in (None, "", "?") else asked[0]), port


def _config_epoch(nodes: str, node_id: str) -> int:
    """Return the configuration epoch of a node from CLUSTER NODES: its seventh word."""
    for line in nodes.splitlines():
        words = line.split()
        if words[:1] == [node_id]:
            return int(words[6])
    return 0


def _shown(node: Node) -> str:
    return f"{node[0]}:{node[1]}"
