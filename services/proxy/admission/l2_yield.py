"""Whether asking Redis pays for a template. Pure.

A look-up takes its time, hit or miss, and a hit saves what Postgres would take. So it pays where the share of hits is
above the ratio of the two: never where Postgres is as near as Redis, nearly always where a query takes milliseconds.
"""

from services.proxy.admission.cost import Wait

_TRIAL_LOOKUPS = 50
_MOST_LOOKUPS = 1_024  # that are counted; then all count for half, so that the share is that of late
_ONE_IN = 20  # look-ups must hit, where nothing is known of times
_STILL_EVERY = 16  # read asks, where it does not pay: that may change


class L2Yield:
    """What Redis had for a template.

    Attributes:
        lookups: How often it was asked, lately.
        hits: How often it had an answer.
        wait: What a look-up takes.
    """

    __slots__ = ("_origin", "_reads", "hits", "lookups", "wait")

    def __init__(self, origin: Wait | None = None) -> None:
        """Begin; `origin` is what Postgres takes, and None where that is not to count."""
        self._origin = origin
        self._reads = 0  # for which it could have been asked
        self.lookups = 0
        self.hits = 0
        self.wait = Wait(0.0)

    @property
    def yields(self) -> bool:
        """Whether look-ups are worth it, as far as is known."""
        if self.lookups < _TRIAL_LOOKUPS:
            return True
        if self._origin is None:
            return self.hits * _ONE_IN >= self.lookups
        return self.hits * self._origin.seconds > self.lookups * self.wait.seconds

    def pays(self) -> bool:
        """Tell whether to ask now: at first always, then while it is worth it, and else now and then."""
        pays = not self._goes_by()
        self._reads += 1
        self.lookups += pays
        if self.lookups > _MOST_LOOKUPS:
            self.lookups, self.hits = self.lookups // 2, self.hits // 2
        return pays

    def skips(self) -> bool:
        """Tell, and count it, whether a read goes by without asking; else `pays` is to decide."""
        skips = self._goes_by()
        self._reads += skips
        return skips

    def _goes_by(self) -> bool:
        return not self.yields and self._reads % _STILL_EVERY != 0
