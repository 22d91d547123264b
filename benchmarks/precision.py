"""Of the answers that are evicted, how many had really changed? A shop's trace, against eviction by tables.

The answers are Postgres's, the changes are decoded from its WAL, the tags are those of the proxy's own analysis and the
evictions those of the invalidator's own planner (`tests/precision`). What is kept here is kept for ever, until it is
evicted: every answer that is read again while it is kept, and all that are kept at the end, have to be what Postgres
says. Beside it goes a cache that evicts every answer that reads a written table: what that keeps, this one keeps too.
"""

from dataclasses import dataclass, field

from benchmarks.precision_tally import PrecisionTally, Template
from benchmarks.shop.reads import READ_KINDS
from benchmarks.shop.schema import ShopSize, identity_statements, setup_statements
from benchmarks.shop.statements import Statement
from benchmarks.shop.trace import Operation, make_trace
from services.shared.relation import Shape
from tests.precision.case import Parameter, Query
from tests.precision.judging import Answer, Entry, Eviction, cacheable, eviction_of, shapes_by_relation
from tests.precision.stage import SCHEMA, Scene, Stage, open_stage
from tests.servers.postgres import PostgresServer

IDENTITIES = ("FULL", "DEFAULT")

_FAMILIES = {kind.name: kind.family for kind in READ_KINDS}
_RATE = 500  # a second; nothing here depends on it


class KeptThoughChanged(RuntimeError):
    """An answer that had changed was not evicted: nothing that was measured counts."""


@dataclass(frozen=True, slots=True)
class PrecisionRun:
    """How the history is made.

    Attributes:
        operations: How many.
        write_share: Of the operations.
        seed: What chance begins with.
        size: The shop: small, so that a table is loaded within the second that a statement may take.
    """

    operations: int = 6_000
    write_share: float = 0.1
    seed: str = "precision"
    size: ShopSize = field(default_factory=lambda: ShopSize(100, 5_000, 3_000, 8_000, 8_000))


@dataclass(slots=True)
class _Kept:
    """A kept answer.

    Attributes:
        by_tables: Whether a cache that evicts by tables has it now.
    """

    template: Template
    query: Query
    entry: Entry
    answer: Answer
    by_tables: bool = True


def measure_precision(run: PrecisionRun) -> dict[str, PrecisionTally]:
    """Play the same history with each replica identity.

    Raises:
        KeptThoughChanged: An eviction was missing.
    """
    found: dict[str, PrecisionTally] = {}
    with PostgresServer(shared_buffers="128MB") as server:
        for identity in IDENTITIES:
            with open_stage(server) as stage:
                setup = [*setup_statements(run.size), *identity_statements(identity)]
                with stage.scene(setup) as scene:
                    found[identity] = _History(stage, scene).play(run)
    return found


class _History:
    """Kept answers, while a trace goes on."""

    def __init__(self, stage: Stage, scene: Scene) -> None:
        self._stage, self._scene = stage, scene
        self._kept: dict[Statement, _Kept] = {}
        self._entries: dict[tuple[Shape, ...], Entry] = {}  # one with each shapes, as they are registered
        self._tally = PrecisionTally()

    def play(self, run: PrecisionRun) -> PrecisionTally:
        """Play a trace, and look at all that is kept in the end."""
        trace = make_trace(run.seed, run.write_share, run.operations, _RATE, run.size)
        for operation in trace.operations:
            if operation.is_write:
                self._write(operation)
            else:
                self._read(operation)
        for kept in self._kept.values():
            self._check(kept)
        return self._tally

    def _read(self, operation: Operation) -> None:
        (asked,) = operation.statements
        kept = self._kept.get(asked)
        if kept is not None:
            self._check(kept)
            self._tally.by_tags.hits += 1
            self._tally.by_tables.hits += kept.by_tables
            self._tally.by_tables.misses += not kept.by_tables
            kept.by_tables = True
            return
        self._tally.by_tags.misses += 1
        self._tally.by_tables.misses += 1
        query = Query(asked.text, tuple(Parameter("", False, value.encode()) for value in asked.values))
        cached = cacheable(query, self._scene.catalog, self._scene.type_oids, SCHEMA)
        if isinstance(cached, str):
            self._tally.refused[operation.kind] += 1
            return
        answer = self._stage.answer(self._scene, query)
        entry = cached.entry(answer)
        self._entries.setdefault(entry.shapes, entry)
        template = Template(operation.kind, _FAMILIES[operation.kind])
        self._kept[asked] = _Kept(template, query, entry, answer)

    def _write(self, operation: Operation) -> None:
        xid = self._stage.transact([each.inlined() for each in operation.statements])
        self._stage.decode(self._scene)
        eviction = eviction_of(self._scene.events.pop(xid, []), shapes_by_relation(self._entries.values()))
        for asked, kept in list(self._kept.items()):
            if eviction.touches(kept.entry):
                self._evict(asked, kept, operation.kind, eviction)

    def _evict(self, asked: Statement, kept: _Kept, write: str, eviction: Eviction) -> None:
        """Evict an answer that reads a written table: by tables in any case, by tags perhaps."""
        changed = False
        if eviction.evicts(kept.entry):
            changed = self._stage.answer(self._scene, kept.query) != kept.answer
            self._tally.by_tags.evict(kept.template, changed=changed)
            if not changed:
                self._tally.in_vain[kept.template.name, write] += 1
            del self._kept[asked]
        if kept.by_tables:
            self._tally.by_tables.evict(kept.template, changed=changed)
            kept.by_tables = False

    def _check(self, kept: _Kept) -> None:
        if self._stage.answer(self._scene, kept.query) != kept.answer:
            raise KeptThoughChanged(f"it was not evicted: {kept.query}")
