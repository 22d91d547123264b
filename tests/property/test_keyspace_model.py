"""A bucket in Redis against a plain model of the rule of validity, under random interleavings of all that happens.

Two claims. *Safety*: what READ gives is right, judged by the whole log and not by the rule: no record between the
answer's q0 and the bucket's position touched what it depends on, whether or not its shape was registered at the time.
*Exactness*: READ and FILL accept just what the rule accepts, so nothing is lost either.

Losses are real: all keys go back to an earlier dump, and lost records are applied again from the log, which is stable.
"""

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.shared.keyspace.scripts import EntryHit, Outcome, StoredEntry
from services.shared.keyspace.steps import Evict, Milestone, MoveWatermark
from services.shared.keyspace.tags import occurrence_tags
from services.shared.lsn import Lsn
from services.shared.position import Position, partition_of
from services.shared.relation import Shape, ShapeColumn, relation_tag
from tests.integration.bucket_driver import BucketDriver, driven_bucket
from tests.servers.redis import RedisServer

PARTITIONS = 2
RELATIONS = (16_400, 16_401)  # one in each partition
SHAPES = tuple(Shape(relation, (ShapeColumn("id", 23),)) for relation in RELATIONS)
VALUES = (b"1", b"2")


class Record(NamedTuple):
    """A log record: a watermark, or (zero) a change that touches values of its partition's relation, or all of it."""

    watermark: int
    values: frozenset[bytes]
    wide: bool


class Answer(NamedTuple):
    """What an entry depends on: a value of one relation's shape, or all of a relation."""

    relation: int
    value: bytes | None

    @property
    def tags(self) -> tuple[str, ...]:
        if self.value is None:
            return (relation_tag(self.relation),)
        return occurrence_tags(SHAPES[RELATIONS.index(self.relation)], [self.value])

    @property
    def shapes(self) -> tuple[str, ...]:
        return () if self.value is None else (SHAPES[RELATIONS.index(self.relation)].id,)


class Held(NamedTuple):
    """An entry as the model keeps it."""

    epoch: int
    q0: tuple[Position, ...]
    answer: Answer


@dataclass
class Model:
    """What the bucket ought to hold."""

    positions: list[Position]
    floors: list[Position]
    starts: list[list[Position]]
    epoch: int = 0
    w: list[int] = field(default_factory=lambda: [0] * PARTITIONS)
    generation: int = 0
    evicted: list[dict[str, Position]] = field(default_factory=lambda: [{}, {}])
    evicted_wide: dict[int, Position] = field(default_factory=dict)
    matched: dict[str, list[Position]] = field(default_factory=dict)
    entries: dict[int, Held] = field(default_factory=dict)

    def valid(self, held: Held) -> bool:
        """The rule of validity."""
        answer, partition = held.answer, partition_of(held.answer.relation, PARTITIONS)
        q0 = held.q0[partition]
        last = [generation[tag] for generation in self.evicted for tag in answer.tags if tag in generation]
        if answer.relation in self.evicted_wide:
            last.append(self.evicted_wide[answer.relation])
        return (
            held.epoch == self.epoch
            and all(mine >= floor for mine, floor in zip(held.q0, self.floors, strict=True))
            and all(shape in self.matched and q0 >= self.matched[shape][partition] for shape in answer.shapes)
            and all(q0 >= position for position in last)
        )

    def may_fill(self, held: Held) -> bool:
        """The rule of validity, and what else FILL asks."""
        beyond = any(mine > here for mine, here in zip(held.q0, self.positions, strict=True))
        return min(self.w) > 0 and not beyond and self.valid(held)


class Run:
    """One interleaving: the bucket, its model, the log, and the questions that are under way."""

    def __init__(self, driver: BucketDriver) -> None:
        self.driver = driver
        self.log: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.first: list[Position] = []
        self.asked: list[tuple[int, str, tuple[Position, ...]]] = []
        self.dump: tuple[Model, int, dict[bytes, bytes | None], str] | None = None
        self.epochs: list[str] = []
        self.model = Model([], [], [])

    async def begin(self) -> None:
        """Start with followed relations, in the epoch's first moment after the barrier."""
        state = await self.driver.begin_warm(*RELATIONS)
        self.first = list(state.positions)
        self.model = Model(list(state.positions), list(state.floors), [list(state.positions)] * 2)
        # The driver's own start lies below: generations began where the epoch did.
        self.model.starts = [list(state.floors), list(state.floors)]
        self.model.w = [101] * PARTITIONS
        self.epochs = [state.bucket_epoch]

    async def apply(self, partition: int, record: Record) -> None:
        """Apply the next record of the log: one that was lost before, or this one."""
        model, driver = self.model, self.driver
        done = model.positions[partition].k - self.first[partition].k
        if done == len(self.log[partition]):
            self.log[partition].append(record)
        record = self.log[partition][done]
        position = Position(self.first[partition].incarnation, self.first[partition].k + done + 1)
        step = await self._plan(partition, position, record)
        assert await driver.take(step) == [Outcome.APPLIED]
        model.positions[partition] = position
        if isinstance(step, MoveWatermark):
            born = min(model.w) == 0
            model.w[partition] = max(model.w[partition], record.watermark)
            if born and min(model.w) > 0:
                model.floors = list(model.positions)
        else:
            for tag in step.tags:
                model.evicted[model.generation][tag] = position
            for relation in step.relations:
                model.evicted_wide[relation] = position

    async def _plan(self, partition: int, position: Position, record: Record) -> Evict | MoveWatermark:
        """What an invalidator does with a record that knows the shapes registered now."""
        model, relation, shape = self.model, RELATIONS[partition], SHAPES[partition]
        milestone = Milestone(partition, model.positions[partition], position, position.stream_id)
        if record.watermark:
            return MoveWatermark(milestone, Lsn(record.watermark), Lsn(record.watermark - 1))
        version = (await self.driver.bucket.state()).registry_version
        tags = [relation_tag(relation)]
        if shape.id in model.matched:
            tags += [occurrence_tags(shape, [value])[0] for value in sorted(record.values)]
        return Evict(milestone, version, tuple(tags), (relation,) if record.wide else (), Lsn(8))

    def ask(self) -> None:
        """Send a query: note where the bucket is."""
        self.asked.append((self.model.epoch, self.driver.epoch, tuple(self.model.positions)))

    async def fill(self, question: int, answer: Answer) -> None:
        """An answer arrives."""
        if not self.asked:
            return
        number, epoch, q0 = self.asked[question % len(self.asked)]
        held = Held(number, q0, answer)
        stored = StoredEntry(q0, answer.tags, (answer.relation,), answer.shapes, b"body")
        key = self._key(answer)
        refusal = await self.driver.bucket.fill(epoch, q0, bytes([key]), stored)
        assert (not refusal) == self.model.may_fill(held), refusal
        if not refusal:
            self.model.entries[key] = held

    async def read_all(self) -> None:
        """Look every answer up."""
        for relation in RELATIONS:
            for value in (None, *VALUES):
                await self._read(Answer(relation, value))

    async def _read(self, answer: Answer) -> None:
        key = self._key(answer)
        reply = await self.driver.bucket.read(bytes([key]))
        held = self.model.entries.get(key)
        assert isinstance(reply, EntryHit) == (held is not None and self.model.valid(held)), reply
        if isinstance(reply, EntryHit):
            assert held is not None
            assert self._is_right(held), "READ gave an answer that a later record touched"

    def _is_right(self, held: Held) -> bool:
        """Judge by the log alone."""
        partition = partition_of(held.answer.relation, PARTITIONS)
        start = held.q0[partition].k - self.first[partition].k
        end = self.model.positions[partition].k - self.first[partition].k
        for record in self.log[partition][max(start, 0) : end]:
            if record.watermark:
                continue
            if record.wide or held.answer.value is None or held.answer.value in record.values:
                return False
        return True

    async def register(self, shape: Shape) -> None:
        """A proxy meets a template."""
        await self.driver.bucket.register(self.driver.epoch, [shape])
        self.model.matched.setdefault(shape.id, list(self.model.positions))

    async def rotate(self) -> None:
        """The timer of the invalidator comes round."""
        driver, model = self.driver, self.model
        await driver.client.hset(driver.keys.meta, "rotated", 0)
        assert await driver.bucket.rotate(driver.epoch) is Outcome.APPLIED
        older = model.starts[model.generation]
        model.floors = [max(pair) for pair in zip(model.floors, older, strict=True)]
        model.generation = 1 - model.generation
        model.evicted[model.generation] = {}
        model.starts[model.generation] = list(model.positions)

    async def new_epoch(self) -> None:
        """A gap."""
        model = self.model
        self.driver.applied = list(model.positions)
        await self.driver.begin()
        self.epochs.append(self.driver.epoch)
        model.epoch = len(self.epochs) - 1
        model.w = [0] * PARTITIONS
        model.evicted, model.evicted_wide, model.generation = [{}, {}], {}, 0
        model.floors = list(model.positions)
        model.starts = [list(model.positions), list(model.positions)]

    async def save(self) -> None:
        """A snapshot is taken."""
        client = self.driver.client
        keys = [key async for key in client.scan_iter(match=f"{self.driver.keys.prefix}*", count=1000)]
        dump = {key: await client.dump(key) for key in keys}
        self.dump = (deepcopy(self.model), len(self.epochs), dump, self.driver.epoch)

    async def lose(self) -> None:
        """Everything since the snapshot is lost."""
        if self.dump is None:
            return
        client = self.driver.client
        model, _, dump, epoch = self.dump
        await client.flushall()
        for key, value in dump.items():
            await client.restore(key, 0, value or b"")
        self.model, self.driver.epoch = deepcopy(model), epoch

    async def lose_index(self) -> None:
        """The index of tags is lost; nothing may rest on it."""
        client = self.driver.client
        keys = [key async for key in client.scan_iter(match=self.driver.keys.index_pattern, count=1000)]
        if keys:
            await client.delete(*keys)

    async def sweep(self) -> None:
        """The sweep comes round."""
        cursor = (await self.driver.bucket.sweep()).cursor
        while cursor:
            cursor = (await self.driver.bucket.sweep(cursor)).cursor

    @staticmethod
    def _key(answer: Answer) -> int:
        return RELATIONS.index(answer.relation) * 10 + (0 if answer.value is None else VALUES.index(answer.value) + 1)


_partition = st.integers(0, PARTITIONS - 1)
_values = st.frozensets(st.sampled_from(VALUES), max_size=2)
_records = st.one_of(
    st.builds(lambda w: Record(w, frozenset(), False), st.integers(102, 999)),
    st.builds(Record, st.just(0), _values, st.just(False)),
    st.builds(Record, st.just(0), _values, st.booleans()),
)
_answers = st.builds(Answer, st.sampled_from(RELATIONS), st.sampled_from([None, *VALUES]))
_events = st.one_of(
    st.tuples(st.just("apply"), _partition, _records),
    st.tuples(st.just("apply"), _partition, _records),
    st.tuples(st.just("ask")),
    st.tuples(st.just("fill"), st.integers(-3, 20), _answers),
    st.tuples(st.just("fill"), st.integers(-3, -1), _answers),
    st.tuples(st.just("register"), st.sampled_from(SHAPES)),
    st.tuples(st.sampled_from(["rotate", "new_epoch", "save", "lose", "lose_index", "sweep"])),
)


async def _interleave(url: str, events: Sequence[tuple[object, ...]]) -> None:
    async with driven_bucket(url, PARTITIONS) as driver:
        await driver.client.flushall()
        run = Run(driver)
        await run.begin()
        run.ask()
        for name, *arguments in events:
            done = getattr(run, str(name))(*arguments)
            if done is not None:
                await done
            await run.read_all()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(_events, min_size=5, max_size=40))
def test_the_bucket_follows_the_rule_of_validity(valkey: RedisServer, events: list[tuple[object, ...]]) -> None:
    asyncio.run(_interleave(valkey.url, events))
