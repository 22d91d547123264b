"""A trace: what the visitors of a shop do, one thing after the other, made of a seed. Pure.

The same seed, share of writes and length make the same trace on every machine. Whoever plays it does one operation
after the other, so that the state of the database before each is known; each belongs to one of many sessions.
"""

import random
from dataclasses import dataclass

from benchmarks.shop.reads import READ_KINDS
from benchmarks.shop.schema import ShopSize
from benchmarks.shop.shopper import Shopper
from benchmarks.shop.statements import Statement
from benchmarks.shop.writes import WRITE_KINDS

SESSIONS = 32


@dataclass(frozen=True, slots=True)
class Operation:
    """A read, or a transaction that writes.

    Attributes:
        kind: Name of its kind.
        session: Whose it is, from 0.
        statements: One, or all of a transaction.
        is_write: What it is.
    """

    kind: str
    session: int
    statements: tuple[Statement, ...]
    is_write: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """Operations, as they come.

    Attributes:
        operations: In their order.
        rate: How many are due in a second.
    """

    operations: tuple[Operation, ...]
    rate: int

    def due(self, index: int) -> float:
        """Return when an operation is due, in seconds from the beginning."""
        return index / self.rate


def make_trace(seed: str, write_share: float, count: int, rate: int, size: ShopSize) -> Trace:
    """Make a trace.

    Args:
        seed: What chance begins with.
        write_share: Share of the operations that write, 0 to 1.
        count: How many operations.
        rate: How many are due in a second.
        size: The shop at the beginning.
    """
    chance = random.Random(f"{seed}/{write_share}")
    shopper = Shopper(chance, size)
    read_weights = [kind.weight for kind in READ_KINDS]
    write_weights = [kind.weight for kind in WRITE_KINDS]

    def operation() -> Operation:
        session = chance.randrange(SESSIONS)
        if chance.random() < write_share:
            (write,) = chance.choices(WRITE_KINDS, write_weights)
            return Operation(write.name, session, write.next(shopper), True)
        (read,) = chance.choices(READ_KINDS, read_weights)
        return Operation(read.name, session, (read.next(shopper),), False)

    return Trace(tuple(operation() for _ in range(count)), rate)
