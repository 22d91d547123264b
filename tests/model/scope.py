"""What a scope consists of, and a world: a scope with at most one thing wrong in it."""

from dataclasses import dataclass
from functools import cached_property

from tests.model.state import Budget


@dataclass(frozen=True)
class Transaction:
    """A transaction that may commit once.

    Attributes:
        tags: Mask of what it changes.
        asynchronous: It may become visible before its record is flushed.
        own: The session writes it; else somebody who does not come through the proxy.
        after: Its commit record comes after that of this one (by number, from 1); 0: at any time.
        upon: Its commit record comes after this one is visible; 0: at any time.
    """

    tags: int = 1
    asynchronous: bool = False
    own: bool = False
    after: int = 0
    upon: int = 0


@dataclass(frozen=True)
class Scope:
    """How much of the world is explored.

    Attributes:
        name: How it is called.
        about: What it is for, in a few words.
        transactions: Those that may commit.
        tags: Partition of each tag.
        queries: Mask of the tags that each query's answer depends on.
        budget: How often things may happen.
        workers: Number of proxies' workers.
        invalidators: Number of invalidators on the one Redis.
        stores: Answers go to Redis and are read there.
        shapes: Tags of a query are matched only once its shape is registered.
        outbox: Records are under way before they are in the log.
        late: What a dead CDC service sent may still arrive.
        log_in_redis: A fail-over of Redis takes the log back too.
        born: The world begins with a slot and a warm, followed bucket; else with nothing.
        warm: Mask of the queries whose answers every worker holds at the beginning.
        stored: Mask of those whose answers Redis holds at the beginning.
        strong: There are strong reads.
        joins: The session may join flights.
        tokens: The session may be handed the token of somebody whose writes were acknowledged.
        probes: Workers probe; without, nothing is ever served, and what is held at rest is judged.
        behind: Redis's replica is behind from the beginning; else from any moment on.
        prelude: What has happened already: the beginnings of steps' labels, in order.
        limit: States after which the search is given up.
    """

    name: str
    about: str
    transactions: tuple[Transaction, ...]
    tags: tuple[int, ...] = (0,)
    queries: tuple[int, ...] = (1,)
    budget: Budget = Budget()  # noqa: RUF009 - an immutable value
    workers: int = 1
    invalidators: int = 1
    stores: bool = False
    shapes: bool = False
    outbox: bool = False
    late: bool = False
    log_in_redis: bool = False
    born: bool = True
    warm: int = 0
    stored: int = 0
    strong: bool = False
    joins: bool = False
    tokens: bool = False
    probes: bool = True
    behind: bool = False
    prelude: tuple[str, ...] = ()
    limit: int = 3_000_000

    @cached_property
    def partitions(self) -> int:
        """Number of partitions."""
        return max(self.tags) + 1

    @cached_property
    def changed(self) -> tuple[int, ...]:
        """Mask of the transactions that each query's answer depends on."""
        return tuple(
            sum(1 << number for number, each in enumerate(self.transactions) if each.tags & tags)
            for tags in self.queries
        )

    @cached_property
    def query_tags(self) -> tuple[tuple[int, ...], ...]:
        """Tags of each query, as numbers."""
        return tuple(tuple(tag for tag in range(len(self.tags)) if tags >> tag & 1) for tags in self.queries)

    def partitions_of(self, number: int) -> tuple[int, ...]:
        """Partitions that a transaction's changes go to."""
        tags = self.transactions[number].tags
        return tuple(sorted({where for tag, where in enumerate(self.tags) if tags >> tag & 1}))

    @cached_property
    def tags_in(self) -> tuple[int, ...]:
        """Mask of the tags of each partition."""
        return tuple(
            sum(1 << tag for tag, where in enumerate(self.tags) if where == partition)
            for partition in range(self.partitions)
        )


@dataclass(frozen=True)
class World:
    """A scope, and the name of the fault in it; empty: none."""

    scope: Scope
    fault: str = ""
