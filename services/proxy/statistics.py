"""What one worker counts for one cache: plain integers, so that counting costs nothing; read at a scrape."""

from collections import Counter


class ProxyStatistics:
    """Counters of one cache in one worker.

    Attributes:
        hits: Answers served from L1, ready-made replies included.
        hits_l2: Answers served from Redis.
        hits_joined: Answers shared from a query of another session that was under way.
        hits_ageing: Those of all these that were served although they age.
        hits_stale: Those of all these that were served although nothing proved them fresh: Postgres was down.
        blocks_held: Transaction blocks whose BEGIN was held back.
        blocks_sent: Those of them that Postgres had to see after all.
        misses: Cacheable reads that went to Postgres.
        forwarded: Turns that went to Postgres, by reason; a miss's reason says why it could not be served.
        kept: Answers taken into L1.
        refused: Answers that were not kept, by reason.
        unanswered: Turns of sessions that had lost their connection to Postgres, and that got an error therefore.
        interrupted: Queries that waited in the proxy and were cancelled there.
        clients_refused: Clients that found no room.
        logins_failed: Clients that were refused, or gave up, while they logged in.
        sessions: Client sessions now.
    """

    __slots__ = (
        "blocks_held",
        "blocks_sent",
        "clients_refused",
        "forwarded",
        "hits",
        "hits_ageing",
        "hits_joined",
        "hits_l2",
        "hits_stale",
        "interrupted",
        "kept",
        "logins_failed",
        "misses",
        "refused",
        "sessions",
        "unanswered",
    )

    def __init__(self) -> None:
        self.hits = 0
        self.hits_l2 = 0
        self.hits_joined = 0
        self.hits_ageing = 0
        self.hits_stale = 0
        self.blocks_held = 0
        self.blocks_sent = 0
        self.misses = 0
        self.unanswered = 0
        self.kept = 0
        self.interrupted = 0
        self.clients_refused = 0
        self.logins_failed = 0
        self.sessions = 0
        self.forwarded: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
