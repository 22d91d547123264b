"""The deliberate faults: one clause of the contract left out each. The model has to find what every one of them breaks.

To add one: name it here with the smallest scope that shows it, and switch the clause off where `world.fault` is that
name.
"""

from dataclasses import dataclass

from tests.model.scope import World
from tests.model.scopes import SMALL


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: How the steps call it.
        scope: The scope that shows it.
        about: What is done instead of what the contract says.
        section: Where the contract says it.
    """

    name: str
    scope: str
    about: str
    section: str

    @property
    def world(self) -> World:
        """The scope with this fault in it."""
        return World(SMALL[self.scope], self.name)


FAULTS = (
    Fault("no visibility gate", "gate", "what is decoded is published at once", "4.4"),
    Fault("LSN instead of position", "order", "the rule of validity compares the ends of commits", "6"),
    Fault("snapshot before insert LSN", "clock", "a round takes S before a", "4.5"),
    Fault("L <= w", "clock", "a probe at w counts as covered though something is held there", "5"),
    Fault("held when S is taken", "clock", "what is held is judged when S is taken, not when a is delivered", "4.5"),
    Fault("no check at an insert", "gate", "a worker takes answers without looking at its recent evictions", "7"),
    Fault("insert at the position of the insertion", "gate", "q0 is read when the answer has come", "7"),
    Fault(
        "watermark from a READ's reply",
        "reply",
        "a worker believes a watermark whose evictions it has not applied",
        "7",
    ),
    Fault("feed gap unnoticed", "feed", "the predecessor that an item names is not compared", "7"),
    Fault("resync without a floor", "feed", "what was sent before a worker dropped everything may be kept", "7"),
    Fault("positions counted in Redis", "partitions", "evictions are numbered by a counter in Redis", "5"),
    Fault("place stored before effect", "place", "the place in the log is stored by a call of its own, first", "5"),
    Fault("watermark before evictions", "clock", "the round's watermark is sent before what its snapshot shows", "4.5"),
    Fault("no test of prev", "fail-over", "EVICT and WATERMARK do not test where the bucket stands", "6"),
    Fault("acknowledged when sent", "outbox", "a record counts as written once it is sent", "4.7"),
    Fault("earlier incarnation confirmed", "late", "a watermark of a dead incarnation is confirmed", "4.7"),
    Fault("no check at FILL and READ", "store", "Redis takes and gives answers without the rule of validity", "6"),
    Fault("no floor after rotation", "rotation", "evictions are forgotten, and the floor stays", "6"),
    Fault("no birth barrier", "birth", "watermarks begin at once on a new slot", "4.2"),
    Fault("strong looks up first", "strong", "a strong read looks up when it arrives, and waits then", "9.3"),
    Fault("registration lost", "shape", "a worker does not look at the registry version of feed items", "7"),
    Fault("automatic ids", "streams", "a record's number is the one that the stream gives it", "5"),
    Fault("watermarks in memory", "minimum", "the invalidator remembers each partition's last watermark", "6"),
    Fault("no canary", "power", "a crash of Postgres begins no new history", "8"),
    Fault(
        "incarnation used twice",
        "restart",
        "an incarnation is named by an insert LSN, not by a record of its own",
        "4.1",
    ),
    Fault(
        "RESUME accepted by w",
        "advance",
        "a new incarnation goes on from what was visible, not from what was published",
        "5",
    ),
    Fault("registry version is a counter", "versions", "a registration counts the version up", "6"),
    Fault("insert below the floor", "feed", "a worker does not compare answers with its floor", "7"),
    Fault("old flight joined", "own", "a session joins a flight that was sent before its own write", "9.5"),
    Fault(
        "covered token, old flight joined",
        "token",
        "a token that is covered is taken to ask for nothing, not even of flights",
        "9.5",
    ),
)
