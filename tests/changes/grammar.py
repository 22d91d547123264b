"""Makes histories: the same one for the same name, everywhere.

Up to four connections take turns, each in a transaction of its own or in none. What tables look like is a belief that
each transaction has for itself until it commits; tables that somebody else's open transaction has altered are mostly
left alone, since they are locked.
"""

import itertools
from dataclasses import dataclass, field, replace

from tests.changes.definitions import Definer, define
from tests.changes.foundations import Foundation, found
from tests.changes.history import History, Step
from tests.changes.model import Model
from tests.changes.writes import Writer, write
from tests.wire.chance import Chance

DEFAULT_STEPS = 40
_MOST_IN_BLOCK = 6


def make_history(name: str, version: int, steps: int = DEFAULT_STEPS) -> History:
    """Make a history.

    Args:
        name: Of which all choices are made.
        version: Postgres's major version.
        steps: About how many.
    """
    chance = Chance(name)
    maker = _Maker(chance, found(chance), version)
    while len(maker.steps) < steps:
        maker.go_on()
    maker.end()
    return History(tuple(maker.foundation.setup), tuple(maker.steps), version)


@dataclass
class _Block:
    """A transaction that is open on a connection.

    Attributes:
        model: What the tables look like in it.
        altered: Tables that it has altered, by number.
        left: How many statements are still to come.
        savepoints: What held at each savepoint.
    """

    model: Model
    left: int
    altered: set[int] = field(default_factory=set)
    savepoints: list[tuple[Model, set[int]]] = field(default_factory=list)


@dataclass
class _Maker:
    """A history in the making.

    Attributes:
        chance: Where choices come from.
        foundation: What it begins with.
        version: Postgres's major version.
        model: What was committed.
        steps: So far.
    """

    chance: Chance
    foundation: Foundation
    version: int
    steps: list[Step] = field(default_factory=list)
    model: Model = field(init=False)
    _blocks: dict[int, _Block] = field(default_factory=dict)
    _prepared: dict[str, _Block] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.model = self.foundation.model

    def go_on(self) -> None:
        """Add a statement, or several."""
        on = self.chance.pick((0, 1, 1, 2, 3))
        block = self._blocks.get(on)
        if block is not None:
            self._in_block(on, block)
        elif self._prepared and self.chance.one_in(3):
            self._end_prepared(on)
        elif self.chance.one_in(2):
            self._begin(on)
        else:
            self._alone(on)

    def end(self) -> None:
        """Close what is open."""
        for on in [*self._blocks]:
            self._commit(on, self._blocks.pop(on))
        while self._prepared:
            self._end_prepared(1)

    def _say(self, on: int, sql: str, data: tuple[str, ...] | None = None) -> None:
        self.steps.append(Step(sql, on, data))

    def _begin(self, on: int) -> None:
        self._blocks[on] = _Block(self.model, self.chance.between(1, _MOST_IN_BLOCK))
        self._say(on, self.chance.pick(("BEGIN", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ")))
        if self.chance.one_in(4):
            self._say(on, "SET LOCAL synchronous_commit = off")

    def _alone(self, on: int) -> None:
        """A statement outside of any block; behind a definition it is sometimes waited until all is followed again."""
        if self.chance.one_in(3):
            self.model = self._define(on, self.model, set(), in_block=False)
            if self.chance.one_in(2) and not self._blocks and not self._prepared:
                self.steps[-1] = replace(self.steps[-1], settled=True)
        else:
            self._write(on, self.model)

    def _in_block(self, on: int, block: _Block) -> None:
        block.left -= 1
        if block.left < 0:
            del self._blocks[on]
            self._end_block(on, block)
        elif self.chance.one_in(6):
            block.savepoints.append((block.model, set(block.altered)))
            self._say(on, f"SAVEPOINT s{len(block.savepoints)}")
        elif block.savepoints and self.chance.one_in(3):
            self._end_savepoint(on, block)
        elif self.chance.one_in(5):
            block.model = self._define(on, block.model, block.altered, in_block=True)
        else:
            self._write(on, block.model)

    def _end_savepoint(self, on: int, block: _Block) -> None:
        name = f"s{len(block.savepoints)}"
        model, altered = block.savepoints.pop()
        if self.chance.one_in(3):
            self._say(on, f"RELEASE SAVEPOINT {name}")
        else:
            self._say(on, f"ROLLBACK TO SAVEPOINT {name}")
            block.model, block.altered = model, altered

    def _end_block(self, on: int, block: _Block) -> None:
        if self.chance.one_in(6):
            self._say(on, "ROLLBACK")
        elif self.chance.one_in(6):
            name = f"p{next(self._numbers)}"
            self._say(on, f"PREPARE TRANSACTION '{name}'")
            self._prepared[name] = block
        else:
            self._commit(on, block)

    def _commit(self, on: int, block: _Block) -> None:
        self._say(on, "COMMIT")
        self._adopt(block)

    def _end_prepared(self, on: int) -> None:
        name = self.chance.pick([*self._prepared])
        block = self._prepared.pop(name)
        if self.chance.one_in(4):
            self._say(on, f"ROLLBACK PREPARED '{name}'")
        else:
            self._say(on, f"COMMIT PREPARED '{name}'")
            self._adopt(block)

    def _adopt(self, block: _Block) -> None:
        """What a transaction altered holds for all."""
        gone = [number for number in block.altered if number not in block.model.tables]
        now = [block.model.tables[number] for number in block.altered if number in block.model.tables]
        self.model = self.model.without(gone).put(now)

    def _free(self, model: Model, own: set[int]) -> Model:
        """Leave out what others have locked, nearly always."""
        if self.chance.one_in(20):
            return model
        blocks = (*self._blocks.values(), *self._prepared.values())
        locked = set().union(*(block.altered for block in blocks)) - own
        return model.without(locked) if locked else model

    def _write(self, on: int, model: Model) -> None:
        own = self._blocks[on].altered if on in self._blocks else set()
        alone = not (self._blocks.keys() - {on}) and not self._prepared
        writer = Writer(self.chance, self._free(model, own), on, lambda: next(self._numbers), alone, self.version)
        self._say(on, *write(writer))

    def _define(self, on: int, model: Model, own: set[int], *, in_block: bool) -> Model:
        """Add a definition and return what the tables look like behind it; those that it altered join `own`."""
        visible = self._free(model, own)
        definer = Definer(self.chance, visible, lambda: next(self._numbers))
        statements = define(definer, in_block=in_block)
        for sql in statements or ["SELECT 1"]:
            self._say(on, sql)
        own |= definer.touched
        hidden = [table for number, table in model.tables.items() if number not in visible.tables]
        return definer.model.put(hidden)
