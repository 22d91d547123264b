"""What the auditor sees of a cached database: its parts, and no more than that."""

from typing import Protocol

from services.proxy.cache.follower import Follower
from services.proxy.cache.freshness import Freshness
from services.proxy.cache.l1 import L1
from services.proxy.cache.outage import Outage
from services.proxy.cache.prober import Prober
from services.proxy.catalog_watch import CatalogWatch
from services.proxy.session.templates import Templates
from services.proxy.statistics import ProxyStatistics
from services.proxy.worker.open_sessions import OpenSessions


class Audited(Protocol):
    """What of a cached database the auditor looks at."""

    @property
    def l1(self) -> L1:
        """The worker's memory."""

    @property
    def freshness(self) -> Freshness:
        """How fresh it is proven to be."""

    @property
    def outage(self) -> Outage:
        """How Postgres is."""

    @property
    def follower(self) -> Follower:
        """What has been applied to it."""

    @property
    def prober(self) -> Prober:
        """What asks the primary."""

    @property
    def catalog_watch(self) -> CatalogWatch:
        """What reads the catalog."""

    @property
    def templates(self) -> Templates:
        """The analyses."""

    @property
    def statistics(self) -> ProxyStatistics:
        """What was served."""

    @property
    def sessions(self) -> OpenSessions:
        """Who may give samples."""
