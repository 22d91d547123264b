"""How often to do what costs others time: the longer it takes, the seldomer. Pure.

What is done for each of many small events can be done for several of them at once. Doing it less often costs a delay,
which is worth nothing while processors are idle and everything while they are not. That shows in how much longer it
takes than at best (not in how long it takes: a server far away is no busy one); and here, in how long the thread that
does it has to wait for a processor.
"""

_WEIGHT = 1 / 8  # of the last duration in the average
_FORGETTING = 1.001  # by so much the best duration rises each time: in minutes, a server that is now farther away

# Shares of its time that a thread waits for a processor. On two of them that were half idle it was 0.15 to 0.3 for one
# that wrote to others over loopback, which run where it would have gone on; with all of their time taken, 0.45 to 0.6.
_CALM, _CROWDED = 0.3, 0.5


class Pace:
    """Spaces rounds of work so that what they wait, beyond what they have to, is a bounded share of the time.

    Attributes:
        spacing: Seconds that are to lie between the beginnings of two rounds.
    """

    __slots__ = ("_average", "_best", "_least", "_most", "_share", "spacing")

    def __init__(self, least: float, most: float, share: float) -> None:
        """Begin with the least spacing.

        Args:
            least: Bound of the spacing, in seconds.
            most: The other one.
            share: Of the time, between the two; above 0.
        """
        self._least, self._most, self._share = least, most, share
        self._average = 0.0
        self._best = float("inf")
        self.spacing = least

    def note(self, seconds: float, waited_share: float = 0.0) -> None:
        """A round has taken so long.

        Args:
            seconds: From its beginning to its end.
            waited_share: Of its time, what the thread waits for a processor; see `ProcessorWait`.
        """
        self._best = min(self._best * _FORGETTING, seconds)
        self._average += (min(seconds - self._best, self._most) - self._average) * _WEIGHT
        crowding = (waited_share - _CALM) / (_CROWDED - _CALM)
        by_crowding = self._least + crowding * (self._most - self._least)
        self.spacing = min(max(self._average / self._share, by_crowding, self._least), self._most)
