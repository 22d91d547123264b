"""One cache in one worker: everything that its sessions share. Nothing of it is global, so a process can hold many."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from services.proxy.admission.economies import Economies
from services.proxy.admission.economy import Tally
from services.proxy.arrival.client_count import ClientCount
from services.proxy.audit.auditor import Auditor
from services.proxy.audit.quarantine import Quarantine
from services.proxy.cache.block_replies import BlockReplies
from services.proxy.cache.boot_identity import boot_clock_identity
from services.proxy.cache.coverage import Coverage
from services.proxy.cache.entry import NO_TALLY, Answer, Entry, decode_ageing, encode_ageing
from services.proxy.cache.flights import Flights
from services.proxy.cache.follower import Follower
from services.proxy.cache.freshness import Freshness, boot_clock
from services.proxy.cache.l1 import L1
from services.proxy.cache.outage import Change, Outage
from services.proxy.cache.prober import Prober, ProbeTiming
from services.proxy.cache.store import Store
from services.proxy.catalog_watch import CatalogWatch
from services.proxy.control import ConnectControl
from services.proxy.outage_log import tell_outage
from services.proxy.reasons import Reason
from services.proxy.replica.applied import AppliedMoments, Moment
from services.proxy.replica.replay import Server, Standing
from services.proxy.session.answer_tags import answer_tags
from services.proxy.session.names import no_names
from services.proxy.session.planning import Plan
from services.proxy.session.state import SharedStates
from services.proxy.session.templates import Promise, Templates
from services.proxy.session.write_scope import WriteScopes, WritesOfPeers
from services.proxy.slot_watch import Limits, SlotWatch
from services.proxy.sql.snapshot import Catalog
from services.proxy.sql.tag_rules import key_shape
from services.proxy.statistics import ProxyStatistics
from services.proxy.unconfirmed import Kept, Settling, Unconfirmed
from services.proxy.upstream.dialler import Dialler
from services.proxy.verifiers.finder import VerifierFinder
from services.proxy.worker.cancelling import Cancelling
from services.proxy.worker.load_watch import watch_load
from services.proxy.worker.open_sessions import OpenSessions
from services.shared.keyspace.feed import Feed
from services.shared.keyspace.scripts import Bucket, BucketUnavailable, EntryHit, Fill, StoredEntry
from services.shared.position import START, Position
from services.shared.relation import Shape
from services.shared.runtime.settings import Admission, CacheSettings

if TYPE_CHECKING:
    from services.proxy.replica.watch import ReplicaWatch

_SWEEP_SECONDS = 5.0
_SWEEP_PAUSE_SECONDS = 0.05  # between parts of a sweep that finds much to do, of some milliseconds each


class CachedDatabase:
    """A cached database as one worker sees it.

    Attributes:
        settings: The cache's settings.
        statistics: Its counters.
        verifiers: What the passwords of clients are checked with; None where Postgres itself asks them (`relay`).
        upstream, dialler: Where the clients' Postgres is, a replica perhaps, and what opens their connections to it.
        replica: Watches it, where it is one.
        sessions: The client sessions that are open.
        clients: How many clients there are, and may be.
        cancelling: What serves cancel requests.
        listening: Whether clients can come in.
        draining: Whether the worker is about to stop.
        states: What the sessions' states have in common.
        names: The empty meaning of statement names, where every session begins.
        write_scopes: Who reads whose writes.
        auditor, quarantine: What compares answers with Postgres's, and which templates it has proven wrong.
        templates, l1, block_replies, store, flights, freshness, outage, follower, prober, coverage, catalog_watch,
            slot_watch:
            Its parts.
    """

    def __init__(self, settings: CacheSettings, bucket: Bucket, feed: Feed, peers: WritesOfPeers | None = None) -> None:
        """Begin; `run` does the rest.

        Args:
            settings: The cache's settings.
            bucket: Its state in Redis.
            feed: The evictions.
            peers: The other workers, where sessions read each other's writes.
        """
        self.settings = settings
        self.upstream = settings.client_upstream
        self.dialler = Dialler(self.upstream)
        self.verifiers: VerifierFinder | None = None
        self.statistics = ProxyStatistics()
        self.sessions = OpenSessions(settings.upstream.password or "")
        self.clients = ClientCount(self.statistics, settings.max_clients)
        self.cancelling = Cancelling(self.sessions, self.dialler)
        self.listening = False
        self.draining = False
        self.states = SharedStates()
        self.names = no_names()
        promise = Promise(settings.consistency, settings.max_staleness, settings.ageing_ttl, boot_clock_identity())
        self.templates = Templates(promise, Economies(adapts=settings.admission is Admission.AUTO))
        self.freshness = Freshness(settings.max_staleness)
        self.outage = Outage(settings.serve_stale_for, self.freshness, self._outage_changed)
        self.flights = Flights()
        self.l1 = L1(settings.l1_bytes, (START,) * settings.partitions)
        self.block_replies = BlockReplies()
        self.store = Store(bucket, settings.redis_timeout)
        connect = ConnectControl(settings.upstream, "tidegate-proxy")
        self.catalog_watch = CatalogWatch(connect, settings.publication, settings.catalog_poll, self)
        self.follower = Follower(bucket, feed, self.l1, self.freshness, settings.partitions, self.catalog_watch.doubt)
        timing = ProbeTiming(settings.max_staleness, lambda: self.statistics.hits)
        self.prober = Prober(connect, settings.name, self.follower, self.freshness, self.outage, timing)
        self.coverage = Coverage(self.freshness, self.prober.ask_urgently)
        self.write_scopes = WriteScopes(
            settings.token_scope,
            lambda: self.freshness.next_number,
            self.flights.tick,
            self.prober.ask,
            peers,
        )
        limits = Limits(settings.slot_patience, settings.slot_limit)
        self.slot_watch = SlotWatch(connect, settings.slot, limits)
        self.replica = self._watch_replica() if settings.replica_url is not None else None
        self.quarantine = Quarantine(self.l1.discard_template)
        self.auditor = Auditor(self, settings.audit_rate, self.quarantine)
        self._registration = asyncio.Lock()
        self._registering: asyncio.Task[None] | None = None
        self._unconfirmed, self._settling = Unconfirmed(), Settling()

    async def run(self, *, first_worker: bool) -> None:
        """Run everything that a cache needs beside its sessions. Cancel-safe: yes.

        Args:
            first_worker: This worker does what one of all has to do.
        """
        async with asyncio.TaskGroup() as tasks:
            if first_worker:
                tasks.create_task(self.slot_watch.run())
            tasks.create_task(self.follower.run())
            tasks.create_task(self.prober.run())
            tasks.create_task(self.catalog_watch.run())
            tasks.create_task(self.store.run())
            if self.replica is not None:
                tasks.create_task(self.replica.run())
            tasks.create_task(self.auditor.run())
            tasks.create_task(self._tend())
            tasks.create_task(watch_load(self.templates.economies.prices.pressure))

    def _watch_replica(self) -> "ReplicaWatch":
        from services.proxy.replica.watch import ReplicaWatch  # brings psycopg, which no other part of a proxy needs

        self.follower.moments = AppliedMoments()
        return ReplicaWatch(self.upstream, self.settings.name, self.follower, self.statistics.refused)

    def keep_from_standby(
        self, server: Server, standing: Standing | None, keep: Callable[[tuple[Position, ...]], object]
    ) -> None:
        """Keep an answer of a hot standby as of the position for which that stands, once its history is proven.

        Args:
            server: Where the answer came from.
            standing: What the standby said of itself in front of the read.
            keep: Called then, with that position.
        """
        moment = self._moment_of(standing)
        if isinstance(moment, str):
            self.statistics.refused[moment] += 1
        elif self.replica is not None:
            self.replica.keep_when_proven(server, lambda: keep(moment.positions))

    def _moment_of(self, standing: Standing | None) -> Moment | str:
        """Return the moment for which a standby stands, or why there is none."""
        moments = self.follower.moments
        if moments is None or standing is None:
            return Reason.REPLICA_SILENT
        if standing.refusal:
            return standing.refusal
        self.follower.note_moment()  # on an idle database no watermark does
        moment = moments.at(standing.lsn)
        # A standby that is not beyond the last change of the catalog may have answered by the definitions before it.
        if moment is None or moment.watermark <= self.catalog_watch.changed_by:
            return Reason.REPLICA_BEHIND
        return moment

    def uncached_relation(self, relations: Iterable[int]) -> bool:
        """Tell whether the changes of some relation are not on the stream (yet), or of another publication entry."""
        catalog = self.templates.catalog
        if catalog is None:
            return True
        followed = self.follower.followed
        for oid in relations:
            relation = catalog.by_oid.get(oid)
            if relation is None or relation.publication_entry is None:
                return True
            if followed.get(oid) != relation.publication_entry:
                return True
        return False

    def keep(
        self,
        plan: Plan,
        answer: Answer,
        q0: tuple[Position, ...],
        epoch: str,
        sent_at: float,
        tally: Tally = NO_TALLY,
    ) -> Entry | None:
        """Take an answer into L1 and, in the background, into L2, if the rule of validity allows it.

        Args:
            plan: Of the read that it answers.
            answer: The answer.
            q0: Positions that this worker had applied before the query was sent.
            epoch: The bucket's epoch then.
            sent_at: Boot-clock second then.
            tally: Where its hits are counted.

        Returns:
            The entry, if it was taken.
        """
        assert plan.template is not None
        assert plan.request is not None
        answered = boot_clock()
        if plan.catalog != self.templates.number:  # the session's settings may have been others by then
            self.statistics.refused["catalog_changed"] += 1
            return None
        analysis = plan.template.analysis
        found = answer_tags(
            analysis,
            plan.template.lexed,
            plan.request,
            answer.rows,
            lambda shape: not self.follower.refusal_of_shapes((shape,), q0),
        )
        if found.wanted:
            self._register_soon(found.wanted)
        expires_at = self._expiry(plan, sent_at)
        entry = Entry(plan.key, answer, q0, found.tags, analysis.relations, found.shapes, expires_at)
        entry.sent_at = sent_at
        entry.template = plan.template.lexed.template
        entry.tally = tally
        refusal = self._insert(entry, epoch)
        if refusal:
            self.statistics.refused[refusal] += 1
            return None
        self.statistics.kept += 1
        economy = plan.template.economy
        self._unconfirmed.add(Kept(entry, epoch, plan.ages, l2=economy.l2))
        economy.origin.note(answered - sent_at)
        return entry

    def adopt_stored(self, plan: Plan, found: EntryHit) -> Entry | None:
        """Take a valid L2 entry into L1, at the bucket's positions in the reply; None when this worker knows better."""
        stored = found.entry
        try:
            answer, sent_at = decode_ageing(stored.body) if plan.ages else (Answer.decode(stored.body), 0.0)
        except ValueError:
            return None
        expires_at = self._expiry(plan, sent_at)
        at, tags, shapes = found.positions, stored.tags, stored.shapes
        entry = Entry(plan.key, answer, at, tags, stored.relations, shapes, expires_at)
        entry.sent_at = sent_at
        entry.hits_seen = 1  # the read that it is taken over for counts as a hit, and is its first
        if plan.template is not None and plan.request is not None:
            entry.template = plan.template.lexed.template
            entry.tally = plan.template.economy.tally(plan.request.number)
        return None if self._insert(entry, found.bucket_epoch) else entry

    def _expiry(self, plan: Plan, sent_at: float) -> float:
        """Return the boot-clock second from which on an answer is not served, wherever it comes from.

        What ages does so from before its query was sent, however often it was copied since. Redis is not believed when
        it says that this is still to come.
        """
        now = boot_clock()
        last = now + self.settings.max_entry_age
        if not plan.ages:
            return last
        return min(last, sent_at + self.settings.ageing_ttl) if sent_at <= now else 0.0

    def _insert(self, entry: Entry, epoch: str) -> str:
        """Take an entry into L1; return why not, empty when it was taken."""
        if entry.expires_at <= boot_clock():
            return "aged"
        if not self.follower.epoch or self.follower.epoch != epoch:
            return "other_epoch"
        entry.next_probe = self.freshness.next_number
        return self.follower.refusal_of_shapes(entry.shapes, entry.at) or self.l1.insert(entry)

    def catalog_reading_begins(self) -> None:
        """See `CatalogUser`."""
        self._unconfirmed.reading_begins()

    def catalog_unchanged(self) -> None:
        """The answers that were kept before the reading began rest on the catalog as it is: share them."""
        for kept in self._settling.settled():
            self._share(kept)
        for kept in self._unconfirmed.confirmed():
            # One that had to make room is right all the same: Redis checks by itself whether it was evicted since.
            if not (kept.shared and (kept.entry.live or kept.entry.displaced)):
                continue
            if kept.is_wanted:
                self._share(kept)
            else:
                self._settling.add(kept)

    def _share(self, kept: Kept) -> None:
        """Put an answer into Redis, in the background, if the bucket finds it valid."""
        entry = kept.entry
        seconds_left = entry.expires_at - boot_clock()
        if seconds_left > 0:
            body = encode_ageing(entry.answer, entry.sent_at) if kept.ages else entry.answer.encode()
            stored = StoredEntry(entry.at, entry.tags, entry.relations, entry.shapes, body)
            self.store.put(Fill(kept.epoch, entry.at, entry.key, stored, seconds_left))

    async def catalog_changed(self, catalog: Catalog) -> None:
        """Analyse against a new catalog.

        Ready-made replies may rest on the old one. Entries carry it in their key, but for those that were kept since
        the last look: their statements may have meant something else already.
        """
        previous = self.templates.catalog
        self.templates.use(catalog)
        self.l1.forget_replies()
        for kept in self._unconfirmed.doubtful():
            self.l1.discard(kept.entry)
        if previous is not None and _alters_sessions(previous, catalog):
            for session in self.sessions:
                session.forget_state()
        await self._register(_shapes_of(catalog))

    def catalog_lost(self) -> None:
        """Let the hot path answer nothing any more; the slow path refuses by itself."""
        self.l1.forget_replies()

    def suspect_outage(self) -> None:
        """A session has lost its connection: find out at once whether Postgres is down."""
        self.outage.suspect()
        self.prober.ask()

    def _outage_changed(self, change: Change) -> None:
        """Log it, and let the sessions go on that wait for a verdict."""
        tell_outage(self.outage, change, self.settings.serve_stale_for, self.statistics.hits_stale)
        for session in self.sessions:
            session.outage_changed()

    def _register_soon(self, wanted: Iterable[Shape]) -> None:
        """Have row changes matched with more shapes, within what a relation may have."""
        shapes = [shape for shape in wanted if self.follower.has_room_for(shape)]
        if shapes and not self._registration.locked():
            self._registering = asyncio.get_running_loop().create_task(self._register(shapes))

    async def _register(self, shapes: list[Shape]) -> None:
        async with self._registration:
            try:
                await self.follower.register(shapes)
            except BucketUnavailable:
                return  # what needs them is not kept, and asks again

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            while self.l1.sweep():  # noqa: ASYNC110 - it waits for nothing, it lets others have their turn
                await asyncio.sleep(_SWEEP_PAUSE_SECONDS)
            catalog = self.templates.catalog
            if catalog is not None:
                await self._register(_shapes_of(catalog))


def _alters_sessions(before: Catalog, after: Catalog) -> bool:
    """Tell whether a session's search path may mean other schemas now, or its settings may have other values."""
    return before.name_spaces != after.name_spaces or before.loaded != after.loaded


def _shapes_of(catalog: Catalog) -> list[Shape]:
    """The primary key of every published relation: most reads are by key, and the first is to be kept by it already."""
    keys = (key_shape(relation) for relation in catalog.by_oid.values() if relation.publication_entry is not None)
    return [shape for shape in keys if shape is not None]
