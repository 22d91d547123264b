"""Whether asking Redis pays for a template. Pure."""

_TRIAL_LOOKUPS = 50
_ONE_IN = 20  # look-ups must hit to go on
_STILL_EVERY = 16  # read asks, where it does not pay: that may change


class L2Yield:
    """What Redis had for a template.

    Attributes:
        lookups: How often it was asked.
        hits: How often it had an answer.
    """

    __slots__ = ("_reads", "hits", "lookups")

    def __init__(self) -> None:
        self._reads = 0  # for which it could have been asked
        self.lookups = 0
        self.hits = 0

    @property
    def yields(self) -> bool:
        """Whether look-ups hit often enough, as far as is known."""
        return self.lookups < _TRIAL_LOOKUPS or self.hits * _ONE_IN >= self.lookups

    def pays(self) -> bool:
        """Tell whether to ask now: at first always, then while it hits often enough, and else now and then."""
        pays = not self._goes_by()
        self._reads += 1
        self.lookups += pays
        return pays

    def skips(self) -> bool:
        """Tell, and count it, whether a read goes by without asking; else `pays` is to decide."""
        skips = self._goes_by()
        self._reads += skips
        return skips

    def _goes_by(self) -> bool:
        return not self.yields and self._reads % _STILL_EVERY != 0
