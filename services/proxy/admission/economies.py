"""The economies of a cache's templates in one worker, and how they are shown to people. Pure."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from services.proxy.admission.economy import Economy, Keeps, Prices
from services.proxy.sql.verdict import NameSpace

Identity = tuple[str, NameSpace]
"""A template's text, which says of what kinds its literals are, and where its names are looked up."""

_MEASURED_MASK = 7
_MOST = 5_000  # the least lately analysed are forgotten


@dataclass(frozen=True, slots=True)
class Decision:
    """A template, what was measured of it, and what was decided.

    Attributes:
        template: Its text, without literals.
        keeps: Whose answers are kept.
        one_in: Of what is seen again one in so many, where first sight does not do.
        sampled: One key in so many is cached in any case.
        ratio: The hit ratio by which it is judged; None while that is not known.
        ratio_needed: The one from which on caching pays.
        reuse: Of the answers that had to go, the share that was read again; None while that is not known.
        hits, misses, turned_away, evicted: Reads since the worker has known it, and answers that changes evicted.
        origin, overhead, hit: Seconds for Postgres to answer, those that a miss takes more than to forward, and those
            that a hit takes.
        l2_lookups, l2_hits: What Redis was asked for, and had.
    """

    template: str
    keeps: Keeps
    one_in: int
    sampled: int
    ratio: float | None
    ratio_needed: float
    reuse: float | None
    hits: int
    misses: int
    turned_away: int
    evicted: int
    origin: float
    overhead: float
    hit: float
    l2_lookups: int
    l2_hits: int


class Economies:
    """Economies by template.

    Attributes:
        prices: What they have in common.
    """

    def __init__(self, *, adapts: bool = True) -> None:
        """Begin; all templates are cached unless it `adapts`."""
        self.prices = Prices()
        self._adapts = adapts
        self._turns = 0
        self._by_identity: OrderedDict[Identity, Economy] = OrderedDict()

    def of(self, identity: Identity) -> Economy:
        """Return the economy of a template."""
        economy = self._by_identity.get(identity)
        if economy is None:
            economy = self._by_identity[identity] = Economy(self.prices, adapts=self._adapts)
            if len(self._by_identity) > _MOST:
                self._by_identity.popitem(last=False)
        else:
            self._by_identity.move_to_end(identity)
        return economy

    def measures(self) -> bool:
        """Tell whether the work for the next turn is to be measured: of one in eight, as a look at it takes time."""
        self._turns = (self._turns + 1) & _MEASURED_MASK
        return not self._turns

    @property
    def turned_away(self) -> int:
        """How many templates are not cached because it does not pay."""
        return sum(not economy.admitted for economy in self._by_identity.values())

    def decisions(self) -> list[Decision]:
        """Return what was decided, the most used first."""
        found = [_decision(identity[0], economy) for identity, economy in self._used()]
        return sorted(found, key=lambda one: one.hits + one.misses + one.turned_away, reverse=True)

    def _used(self) -> Iterator[tuple[Identity, Economy]]:
        for identity, economy in self._by_identity.items():
            if economy.sample.misses or economy.rest.misses or economy.sample.hits or economy.rest.hits:
                yield identity, economy


def _decision(template: str, economy: Economy) -> Decision:
    sample, rest = economy.sample, economy.rest
    return Decision(
        template,
        economy.keeps,
        economy.one_in,
        economy.sampled,
        economy.ratio,
        economy.ratio_needed,
        economy.reuse,
        sample.hits + rest.hits,
        sample.misses + rest.misses,
        economy.turned_away,
        sample.evicted + rest.evicted,
        economy.origin.seconds,
        economy.overhead,
        economy.hit,
        economy.l2.lookups,
        economy.l2.hits,
    )
