"""How streams are made: turns of many kinds in a row, some of them sent ahead, waited for, or cut into packets.

Most of what is drawn is what drivers do, since only that is ever answered from the cache.
"""

from collections.abc import Callable

from tests.wire import statements as sql
from tests.wire.chance import Chance
from tests.wire.dances import dance
from tests.wire.odd_turns import copying, ending, function_call, malformed
from tests.wire.stream import Step, Stream
from tests.wire.turns import (
    Turn,
    any_statement,
    block,
    bound_again,
    in_any_way,
    in_portions,
    loose,
    reads,
    several,
    simple,
    surprised_block,
    varied,
    within_block,
)

_MOST_TURNS = 7

_TURNS: tuple[tuple[int, Callable[[Chance], Turn]], ...] = (
    (8, lambda chance: in_any_way(chance, reads)),
    (14, dance),
    (6, block),
    (5, surprised_block),
    (4, lambda chance: in_any_way(chance, any_statement)),
    (3, bound_again),
    (3, varied),
    (3, in_portions),
    (2, loose),
    (1, lambda chance: simple(chance, several)),
    (1, copying),
    (1, function_call),
    (1, malformed),
)
_OTHERS: tuple[tuple[int, Callable[[Chance], Turn]], ...] = (
    (3, lambda chance: simple(chance, lambda chance: chance.pick(sql.WRITES))),
    (2, lambda chance: simple(chance, reads)),
    (1, lambda chance: simple(chance, lambda chance: chance.pick(sql.NOTIFYING))),
)
_STARTUPS = (
    (("user", "reader"),),
    (("user", "writer"), ("TimeZone", "Asia/Tokyo")),
    (("DateStyle", "German"), ("extra_float_digits", "0")),
    (("search_path", "other, public"),),
    (("options", "-c lock_timeout=500ms -c default_transaction_isolation=serializable"),),
    (("client_encoding", "LATIN1"),),
    (("options", "-c lock_timeout=500ms -c role=reader"),),
)


def make_stream(seed: str) -> Stream:
    """Make the stream of a seed."""
    chance = Chance(seed)
    return _two_connections(chance) if chance.one_in(8) else _one_connection(chance)


def _one_connection(chance: Chance) -> Stream:
    turns = [chance.pick_weighted(*_TURNS) for _ in range(chance.between(1, _MOST_TURNS))]
    if chance.one_in(12):
        turns.append(ending(chance))
    steps = tuple(_dressed(chance, step) for turn in turns for step in turn)
    return Stream(steps, chance.pick(_STARTUPS) if chance.one_in(6) else ())


def _dressed(chance: Chance, step: Step) -> Step:
    """Have a step sent ahead, waited for, or cut."""
    cuts = tuple(chance.between(0, 400) for _ in range(chance.between(1, 3))) if chance.one_in(12) else ()
    return Step(step.messages, step.on, chance.one_in(8), step.settled or chance.one_in(10), cuts)


def _two_connections(chance: Chance) -> Stream:
    """Make a stream on one connection, with single statements of another in between.

    Nothing is sent ahead, else the two would race. The second one changes no definitions and takes no locks for long:
    the relation locks that Postgres would hold for reads in a block are not held, which is documented. Portals are not
    fetched in parts: across a held-back block they go on in a later snapshot, which is documented too.
    """
    steps: list[Step] = []
    for _ in range(chance.between(1, 4)):
        for step in block(chance) if chance.one_in(2) else in_any_way(chance, within_block):
            steps.append(step)
            if chance.one_in(2):
                steps += [Step(other.messages, on=1) for other in chance.pick_weighted(*_OTHERS)]
    return Stream(tuple(steps))
