"""Plays worlds of many queries and transactions; a pair that looks like a violation is played again alone."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.precision.case import Case, Query, write_case
from tests.precision.judging import Answer, Cacheable, cacheable, eviction_of, shapes_by_relation
from tests.precision.queries import make_query
from tests.precision.shrinking import smallest
from tests.precision.stage import SCHEMA, NotRun, Scene, Stage
from tests.precision.tables import World, make_world
from tests.precision.tally import Tally
from tests.precision.transactions import make_transaction
from tests.wire.chance import Chance

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / ".cache" / "precision"

_QUERIES, _TRANSACTIONS = 40, 14  # of one world; a catalog is read for each
_ORDERS = ("ctid", "ctid DESC", "md5(ctid::text)", "md5('x' || ctid::text)")


class Violation(AssertionError):
    """An answer changed, and its entry was not evicted."""


@dataclass(slots=True)
class _Watched:
    """A query and its answers: before the first transaction, and after each."""

    cached: Cacheable
    answers: list[Answer | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A pair that looks like a violation: which query, and behind how many transactions."""

    world: World
    query: Query
    history: tuple[tuple[str, ...], ...]


def play_world(stage: Stage, name: str, tally: Tally) -> Iterator[Suspect]:
    """Play a made world, and give what looks like a violation."""
    chance = Chance(name)
    world = make_world(chance)
    try:
        with stage.scene(world.setup) as scene:
            watched = list(_chosen(stage, scene, world, chance, tally))
            history = _transactions(stage, scene, world, chance, watched)
            stage.decode(scene)
    except NotRun as error:
        tally.broken_worlds[str(error)[:300]] += 1
        return
    entries = [[None if answer is None else each.cached.entry(answer) for answer in each.answers] for each in watched]
    shapes = shapes_by_relation(entry for of in entries for entry in of if entry is not None)
    identity_of = {relation.oid: relation.identity for relation in scene.catalog.relations.values()}
    for number, (xid, _) in enumerate(history):
        eviction = eviction_of(scene.events.get(xid, []), shapes)
        for each, kept in zip(watched, entries, strict=True):
            after, entry = each.answers[number + 1], kept[number]
            if entry is None or after is None:
                tally.unanswered += 1
                continue
            changed, evicted = each.answers[number] != after, eviction.evicts(entry)
            touched = eviction.touched & entry.relations
            tally.pair(each.cached.query.text, {identity_of[oid] for oid in touched}, changed=changed, evicted=evicted)
            if changed and eviction.misses(entry):
                yield Suspect(world, each.cached.query, tuple(statements for _, statements in history[: number + 1]))


def _chosen(stage: Stage, scene: Scene, world: World, chance: Chance, tally: Tally) -> Iterator[_Watched]:
    """Make queries that Postgres answers and that are cached."""
    found = 0
    while found < _QUERIES:
        query = make_query(chance, world)
        try:
            answer = stage.answer(scene, query)
        except NotRun as error:
            tally.wrong_queries[str(error).partition("\n")[0][:60]] += 1
            continue
        found += 1
        cached = cacheable(query, scene.catalog, scene.type_oids, SCHEMA)
        if isinstance(cached, str):
            tally.refused[cached] += 1
            continue
        tally.cached += 1
        yield _Watched(cached, [answer])


def _transactions(
    stage: Stage, scene: Scene, world: World, chance: Chance, watched: list[_Watched]
) -> list[tuple[int, tuple[str, ...]]]:
    history: list[tuple[int, tuple[str, ...]]] = []
    attempts = 0
    while len(history) < _TRANSACTIONS and attempts < 3 * _TRANSACTIONS:
        attempts += 1
        statements = make_transaction(chance, world)
        try:
            history.append((stage.transact(statements), statements))
        except NotRun:
            continue
        for each in watched:
            each.answers.append(_answer(stage, scene, each.cached.query))
    return history


def _answer(stage: Stage, scene: Scene, query: Query) -> Answer | None:
    try:
        return stage.answer(scene, query)
    except NotRun:
        return None


# -- one pair alone


def is_violation(stage: Stage, case: Case) -> bool:
    """Play a case, and tell whether it is a violation whatever order the rows are in."""
    try:
        with stage.scene(case.setup) as scene:
            cached = cacheable(case.query, scene.catalog, scene.type_oids, SCHEMA)
            if isinstance(cached, str):
                return False
            before = {stage.shuffled(scene, case.query, order) for order in _ORDERS}
            xid = stage.transact(case.transaction)
            after = {stage.shuffled(scene, case.query, order) for order in _ORDERS}
            stage.decode(scene)
    except NotRun:
        return False
    entries = list(map(cached.entry, before))
    eviction = eviction_of(scene.events.get(xid, []), shapes_by_relation(entries))
    return before.isdisjoint(after) and any(map(eviction.misses, entries))


def case_of(suspect: Suspect) -> Case:
    """Return a suspect as a case: its earlier transactions become a part of the set-up."""
    earlier = [statement for statements in suspect.history[:-1] for statement in statements]
    return Case("found by chance", (*suspect.world.setup, *earlier), suspect.query, suspect.history[-1])


def first_violation(stage: Stage, seed: str, pairs: int, tally: Tally) -> Case | None:
    """Play made worlds until so many pairs have been played, and return the first violation; None if there is none."""
    number = 0
    while tally.pairs < pairs:
        for suspect in play_world(stage, f"{seed}/{number}", tally):
            case = case_of(suspect)
            if is_violation(stage, case):
                return case
            tally.ambiguous += 1
        number += 1
        if number > pairs:
            raise RuntimeError(f"hardly a world can be made: {tally.broken_worlds.most_common(3)}")
    return None


def judge_made(stage: Stage, seed: str, pairs: int, tally: Tally, shrink_seconds: float) -> None:
    """Play made worlds until so many pairs have been played.

    Raises:
        Violation: With the smallest case, which is stored.
    """
    case = first_violation(stage, seed, pairs, tally)
    if case is not None:
        case = smallest(case, lambda smaller: is_violation(stage, smaller), shrink_seconds)
        raise Violation(f"seed {seed}, kept in {store(case)}:\n{write_case(case)}")


def store(case: Case) -> Path:
    """Write a case down to be kept."""
    text = write_case(replace(case, why="found by chance: say here what was wrong"))
    path = FOUND / f"found-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
