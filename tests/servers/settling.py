"""When has the cache caught up? What tests of the whole stack wait for instead of sleeping.

It takes a table `barrier (id int PRIMARY KEY, n int)` with a row 1 in the cached database, and a stack with one worker:
what is asked of its metrics has to be said of the process that answers.
"""

from http.client import HTTPConnection
from time import CLOCK_BOOTTIME, clock_gettime
from urllib.parse import urlsplit

import psutil
import psycopg

from tests.servers.processes import wait_until
from tests.servers.stack import RunningStack

BARRIER = "CREATE TABLE barrier (id int PRIMARY KEY, n int); INSERT INTO barrier VALUES (1, 0);"
HITS = ("tidegate_proxy_hits_total", "tidegate_proxy_hits_l2_total", "tidegate_proxy_hits_joined_total")

_SETTLE_SECONDS = 20.0
_AGE = "tidegate_proxy_freshness_age_seconds"


class Settling:
    """Waits for the proxy of a stack."""

    def __init__(self, stack: RunningStack) -> None:
        """Open the connections that it takes."""
        self._keeper = psycopg.connect(stack.database_url, autocommit=True, prepare_threshold=None)
        self._metrics = HTTPConnection("127.0.0.1", _find_metrics(stack), timeout=5)

    def close(self) -> None:
        """Close them."""
        self._keeper.close()
        self._metrics.close()

    def settle(self) -> None:
        """Wait until everything that was written before is evicted: a proof of freshness that is younger than now."""
        begun = clock_gettime(CLOCK_BOOTTIME)
        self._keeper.execute("UPDATE barrier SET n = n + 1 WHERE id = 1")  # has the proxy ask for a proof at once

        def proven() -> bool:
            now = clock_gettime(CLOCK_BOOTTIME)
            ages = [age for name, age in self.metrics() if name == _AGE]
            return bool(ages) and ages[0] < now - begun

        wait_until(proven, "the cache to catch up", _SETTLE_SECONDS)

    def settle_wholly(self) -> None:
        """Wait as `settle` does, and until the catalog has been read again behind whatever may have changed it.

        Readings are numbered for all sessions alike, so one that let the keeper read from the cache again, behind a
        statement that may do anything, does so for every session.
        """
        self.settle()
        self.ask_catalog()

        hits = self.count(*HITS)

        def served() -> bool:
            nonlocal hits
            before = hits
            self._keeper.execute("SELECT n FROM barrier WHERE id = 1")
            hits = self.count(*HITS)
            return hits > before

        wait_until(served, "a hit behind a change of the catalog", _SETTLE_SECONDS)

    def ask_catalog(self) -> None:
        """Have the proxy read the catalog at once: a statement that may do anything does so."""
        self._keeper.execute("DO $$ BEGIN END $$")

    def count(self, *names: str) -> int:
        """Return the sum of some of the proxy's counters."""
        return int(sum(value for name, value in self.metrics() if name in names))

    def metrics(self) -> list[tuple[str, float]]:
        """Return the names and values of the proxy's metrics."""
        self._metrics.request("GET", "/metrics")
        lines = self._metrics.getresponse().read().decode().splitlines()
        return [(line.partition("{")[0], float(line.rpartition(" ")[2])) for line in lines if not line.startswith("#")]


def _find_metrics(stack: RunningStack) -> int:
    """Return the port of the proxy's own metrics: the stack's, which merges those of all, takes much longer."""
    own = psutil.Process(stack.processes["proxy-0"]).net_connections(kind="tcp")
    proxy_port = urlsplit(stack.database_url).port
    (port,) = {one.laddr.port for one in own if one.status == psutil.CONN_LISTEN} - {proxy_port}
    return int(port)
