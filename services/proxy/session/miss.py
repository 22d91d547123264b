"""A cacheable read on its way to Postgres: where the worker stood when it was sent, and who waits for its answer."""

from dataclasses import dataclass

from services.proxy.admission.economy import Tally
from services.proxy.audit.auditor import Shadow
from services.proxy.cache.entry import NO_TALLY, Answer
from services.proxy.cache.flights import Flight, Flights
from services.proxy.replica.replay import Server, Standing
from services.proxy.session.planning import Plan
from services.proxy.session.recorder import Recorder
from services.shared.position import Position


@dataclass(slots=True)
class Miss:
    """A cacheable read on its way to Postgres, whose answer may be kept, or shared, or both.

    Attributes:
        q0: Positions that this worker had applied before it was sent; None: the answer may not be kept.
        epoch: The bucket's epoch then.
        sent_at: Boot-clock second then.
        flight: What others may join; None once it is not shared any more, and where it never was.
        server: The standby that it is sent to; None on the primary.
        standing: What that standby said of itself in front of the read.
        tally: Where the read, and the hits of its answer, are counted.
        shadow: What the auditor wants to compare the answer with; None but for a read that could have been a hit.
    """

    plan: Plan
    q0: tuple[Position, ...] | None
    epoch: str
    sent_at: float
    recorder: Recorder
    flight: Flight | None
    flights: Flights
    server: Server | None = None
    standing: Standing | None = None
    tally: Tally = NO_TALLY
    shadow: Shadow | None = None

    def stop_sharing(self) -> None:
        """Let those who joined run for themselves."""
        self.share(None)

    def share(self, answer: Answer | None) -> None:
        """Hand the answer to those who joined."""
        if self.flight is not None:
            flight, self.flight = self.flight, None
            self.flights.end(flight, answer)

    @property
    def awaited(self) -> bool:
        """Whether others wait for the answer."""
        return self.flight is not None and self.flight.waiting > 0


def turns_away(plan: Plan) -> str:
    """Return, and count it, why it does not pay to keep the answer to a read; empty where it does."""
    assert plan.template is not None
    assert plan.request is not None
    return plan.template.economy.turns_away(plan.request.number)


def count_miss(plan: Plan, *, audited: bool) -> Tally:
    """Count a miss, but for one that could have been a hit; return where."""
    assert plan.template is not None
    assert plan.request is not None
    economy = plan.template.economy
    tally = economy.tally(plan.request.number)
    if not audited:
        economy.missed(tally)
    return tally
