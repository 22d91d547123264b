"""How many clients a worker has, and whether there is room for another. Pure.

Like Postgres, the proxy reads the start-up packet before it tells a client that there is no room: a cancel request
looks like any other connection until then, and is served however full it is. A connection counts as a client from its
start-up packet on, whether or not it will be let in, because from then on it costs one to Postgres.
"""

from services.proxy.statistics import ProxyStatistics


class ClientCount:
    """The clients of one cache in one worker.

    Attributes:
        limit: How many there may be.
        starting: Connections that have not sent their start-up packet, or only bring a cancel request.
    """

    __slots__ = ("_statistics", "limit", "starting")

    def __init__(self, statistics: ProxyStatistics, limit: int) -> None:
        self._statistics = statistics
        self.limit = limit
        self.starting = 0

    def arrive(self) -> bool:
        """A connection was accepted; False when so many say nothing that this one is not listened to."""
        self._statistics.sessions += 1
        self.starting += 1
        return self.starting <= self.limit

    def become_client(self) -> bool:
        """Its start-up packet has come; False when there is no room for it."""
        if self._statistics.sessions - self.starting >= self.limit:
            self._statistics.clients_refused += 1
            return False
        self.starting -= 1
        return True

    def leave(self) -> None:
        """A connection ended that did not become a client."""
        self._statistics.sessions -= 1
        self.starting -= 1
