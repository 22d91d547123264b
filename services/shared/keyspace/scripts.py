"""The bucket: a cache's state in Redis, changed by atomic scripts only. Consistency contract, section 6.

Whoever touches the keyspace does it through `Bucket`: the proxy reads, fills and registers shapes; the invalidator
takes its steps, starts epochs, rotates and sweeps. Nothing in Redis is trusted to last: what a script decides rests on
positions that were stored together with their effects, and every loss ends in a refusal.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis.asyncio

from services.shared.keyspace.cells import join_positions
from services.shared.keyspace.entry import StoredEntry, entry_arguments
from services.shared.keyspace.keys import Keys, format_text
from services.shared.keyspace.outcome import Outcome, Refusal
from services.shared.keyspace.replies import EntryHit, ReadMiss, ReadReply, pairs, parse_read
from services.shared.keyspace.runner import BucketOutOfMemory, BucketUnavailable, ScriptRunner
from services.shared.keyspace.state import (
    BucketState,
    EpochBegin,
    Registry,
    bucket_epoch_text,
    parse_registry,
    parse_state,
)
from services.shared.keyspace.steps import Step, script_calls
from services.shared.lsn import sortable
from services.shared.position import Position
from services.shared.relation import Shape

__all__ = [
    "Bucket",
    "BucketState",
    "BucketUnavailable",
    "EntryHit",
    "EpochBegin",
    "Fill",
    "Outcome",
    "ReadMiss",
    "ReadReply",
    "Refusal",
    "Registry",
    "StoredEntry",
    "Sweep",
]

_SCRIPTS = ("read", "fill", "register", "registry", "apply", "new_epoch", "rotate", "sweep")
_NONCE_BYTES = 12

MOST_EVICTED_TAGS = 1_000_000
"""Tags in one of the two generations of evictions, together some 300 MB. What is older than both is not served."""

_SWEEP_KEYS = 500  # keys looked at in one SCAN
_SWEEP_MEMBERS = 200  # members of an index looked at in one script
_SWEEP_TOGETHER = 20  # indexes looked at in one round trip

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where a sweep stands: the next cursor (0: once around), and what this part of it removed."""

    cursor: int
    removed: int


@dataclass(frozen=True, slots=True)
class Fill:
    """An entry to be stored.

    Attributes:
        epoch: Bucket epoch in which q0 was noted.
        q0: Applied positions noted before the query was sent. These are stored, whatever `entry.q0` says.
        key: The entry's key.
        entry: The entry.
        seconds_left: After which it may go; None: the most that an entry is kept.
    """

    epoch: str
    q0: tuple[Position, ...]
    key: bytes
    entry: StoredEntry
    seconds_left: float | None = None


class Bucket:
    """A cache's state in Redis.

    Every method raises `BucketUnavailable` when Redis cannot be reached or refuses, and no other error of the client.
    Cancel-safe: yes; a script that was sent may or may not have run, and every one of them may run twice.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        cache: str,
        partition_count: int,
        max_entry_age: float = 600.0,
        timeout: float | None = 5.0,
    ) -> None:
        """Wrap a client, which stays the caller's to close.

        Args:
            client: It must not decode replies. It had better have no socket time-out: that costs a task a command, and
                up to Python 3.11 a cancellation now and then.
            cache: Name of the cache.
            partition_count: Partitions of the event log.
            max_entry_age: Seconds after which an entry is gone in any case.
            timeout: Seconds that Redis may take for one call; None for ever.

        Raises:
            ValueError: The client decodes replies, which are bytes.
        """
        if client.connection_pool.connection_kwargs.get("decode_responses"):
            raise ValueError("the bucket needs a Redis client with decode_responses=False")
        self.keys = Keys(cache)
        self.partition_count = partition_count
        self._format = format_text(partition_count)
        self._age_ms = max(1, int(max_entry_age * 1000))
        self._runner = ScriptRunner(client, self.keys.meta, _SCRIPTS, timeout)

    async def load(self) -> None:
        """Load the scripts into Redis; one that is missing later is loaded by itself."""
        await self._runner.load()

    async def ping(self) -> None:
        """Return once Redis answers."""
        await self._runner.command("PING")

    async def state(self) -> BucketState:
        """Read all of `m`."""
        fields = await self._runner.command("HGETALL", self.keys.meta)
        return _parsed(lambda: parse_state(fields, self.partition_count))

    async def registry(self) -> Registry:
        """Read the bucket, its shapes and its followed relations at one moment."""
        reply = await self._runner.run("registry")
        return _parsed(lambda: parse_registry(self.partition_count, *map(pairs, reply)))

    async def read(self, key: bytes) -> ReadReply:
        """Look an entry up; it is a hit only if it is valid by the rule."""
        return (await self.read_all([key]))[0]

    async def read_all(self, keys: Sequence[bytes]) -> list[ReadReply]:
        """Look entries up, in one round trip."""
        replies = await self._runner.run_all([("read", (key.hex(), self._format)) for key in keys])
        return _parsed(lambda: list(map(parse_read, replies)))

    async def fill(self, epoch: str, q0: tuple[Position, ...], key: bytes, entry: StoredEntry) -> Refusal:
        """Store an entry if it is valid by the rule; see `Fill` for the arguments.

        Returns:
            Why not; `Refusal.NONE`, which is empty, when it was stored.
        """
        return (await self.fill_all([Fill(epoch, q0, key, entry)]))[0]

    async def fill_all(self, fills: Sequence["Fill"]) -> list[Refusal]:
        """Store entries, in one round trip, each if it is valid by the rule, and tell of each why not."""
        replies = await self._runner.run_each([("fill", self._fill_arguments(fill)) for fill in fills])
        return _parsed(lambda: list(map(_refusal, replies)))

    def _fill_arguments(self, fill: "Fill") -> tuple[str | bytes | int, ...]:
        _, *rest = entry_arguments(fill.entry)
        age_ms = self._age_ms
        left_ms = age_ms if fill.seconds_left is None else min(age_ms, max(1, int(fill.seconds_left * 1000)))
        return fill.key.hex(), fill.epoch, self._format, join_positions(fill.q0), *rest, left_ms, age_ms

    async def register(self, epoch: str, shapes: Iterable[Shape]) -> Registry:
        """Have log records be matched with these shapes, from the bucket's positions on.

        Returns:
            The registry afterwards. If its epoch is not the given one, nothing was registered.
        """
        names = [shape.id for shape in shapes]
        reply = await self._runner.run("register", epoch, _nonce(), *names)
        return _parsed(lambda: parse_registry(self.partition_count, *map(pairs, reply)))

    async def apply(self, epoch: str, steps: Sequence[Step]) -> list[Outcome]:
        """Take steps in order, sent together.

        Returns:
            Their outcomes. When one is refused, those that build on it are refused as well.
        """
        calls = [("apply", (epoch, *arguments)) for arguments in script_calls(steps)]
        replies = await self._runner.run_all(calls)
        return _parsed(lambda: [Outcome(outcome.decode()) for outcomes in replies for outcome in outcomes])

    async def new_epoch(self, expected: BucketState, begin: EpochBegin) -> Outcome:
        """Start a bucket epoch, if the bucket is still in the expected epoch and at the expected positions.

        Args:
            expected: The bucket as it was read; of an absent one, this is INIT.
            begin: Where the epoch begins.

        Returns:
            APPLIED, or OTHER_EPOCH when somebody else was faster.
        """
        followed = begin.followed or {}
        reply = await self._runner.run(
            "new_epoch",
            expected.bucket_epoch,
            join_positions(expected.positions) if expected.bucket_epoch else "",
            bucket_epoch_text(begin.stream_epoch, _nonce()),
            begin.owner,
            self._format,
            join_positions(begin.positions),
            _nonce(),
            begin.reason,
            sortable(begin.highest_commit),
            len(followed),
            *(text for relation, value in followed.items() for text in (relation, str(value))),
            *begin.places,
        )
        return _parsed(lambda: Outcome(reply.decode()))

    async def rotate(self, epoch: str, most_tags: int = MOST_EVICTED_TAGS) -> Outcome:
        """Forget the older half of the evictions, if the newer half is as old as an entry may get, or too large.

        Args:
            epoch: The bucket epoch.
            most_tags: How many tags the newer half may have before its age does not matter.

        Returns:
            APPLIED, TOO_EARLY, OTHER_EPOCH, or EVICTIONS_LOST when a key was deleted and only a new epoch helps.
        """
        reply = await self._runner.run("rotate", epoch, max(1, self._age_ms // 1000), most_tags)
        return _parsed(lambda: Outcome(reply.decode()))

    async def sweep(self, cursor: int = 0) -> Sweep:
        """Remove dead members from the indexes that one step of SCAN finds.

        Args:
            cursor: Where to go on; 0 to begin.
        """
        next_cursor, index_keys = await self._runner.command(
            "SCAN", cursor, "MATCH", self.keys.index_pattern, "COUNT", _SWEEP_KEYS
        )
        left = [(index_key.decode(), 0) for index_key in index_keys]
        removed = 0
        while left:
            part, left = left[:_SWEEP_TOGETHER], left[_SWEEP_TOGETHER:]
            more, removed_of_part = await self._sweep_indexes(part)
            left += more
            removed += removed_of_part
        return Sweep(int(next_cursor), removed)

    async def _sweep_indexes(self, indexes: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], int]:
        """Sweep a part of each of some indexes, from a cursor on; return where to go on, and how many were removed."""
        found = await self._runner.command_all(
            [("SSCAN", key, cursor, "COUNT", _SWEEP_MEMBERS) for key, cursor in indexes]
        )
        swept = [(key, int(cursor), members) for (key, _), (cursor, members) in zip(indexes, found, strict=True)]
        replies = await self._runner.run_all(
            [("sweep", (self.keys.tag_of_index(key), *members)) for key, _, members in swept if members]
        )
        return [(key, cursor) for key, cursor, _ in swept if cursor], sum(map(int, replies))


def _nonce() -> str:
    """Random, not counted: after a loss a counter would be used again."""
    return secrets.token_hex(_NONCE_BYTES)


def _refusal(reply: bytes | BucketOutOfMemory) -> Refusal:
    return Refusal.OUT_OF_MEMORY if isinstance(reply, BucketOutOfMemory) else Refusal(reply.decode())


def _parsed(parse: Callable[[], _Parsed]) -> _Parsed:
    """Read a reply.

    Raises:
        BucketUnavailable: It is not what the scripts write: somebody else wrote into our keys.
    """
    try:
        return parse()
    except (ValueError, LookupError, AttributeError) as error:
        raise BucketUnavailable(f"the bucket holds what the scripts did not write: {error}") from error
