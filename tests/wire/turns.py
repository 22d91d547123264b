"""Turns about statements, as drivers take them and as nobody does but the protocol allows.

Names come from very small pools, so that they are used again, rightly and wrongly.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from services.shared.pgwire.frontend import (
    Bind,
    Close,
    Describe,
    Execute,
    Flush,
    Parse,
    Query,
    Sync,
    Target,
)
from tests.wire import statements as sql
from tests.wire.chance import Chance
from tests.wire.statements import Statement
from tests.wire.stream import Message, Step
from tests.wire.values import bind, literally, types_of

Turn = list[Step]
Pool = Callable[[Chance], Statement]

_NAMES = (b"s", b"t", b"")
_PORTALS = (b"", b"", b"p", b"c")
_READS = sql.READS[:4] * 4 + sql.READS  # some come often, so that they come again
_WITH_ROWS = tuple(read for read in sql.READS if "WHERE id = $1" not in read.sql)


_SURPRISES = (
    (Statement("SELECT 100 / (age - 25) FROM people WHERE id = 1"),),  # a read that fails
    sql.WITHIN,
    sql.WITHIN,
    sql.SETTINGS,
    sql.WRITES,
    sql.BEGINS,
    sql.CURSORS,
    sql.NAMED,
    sql.NOTIFYING,
    sql.SEVERAL[4:],
    sql.BROKEN_READS,
    sql.OTHER_READS,
    sql.DEFINITIONS,
)


def reads(chance: Chance) -> Statement:
    """Draw a read that can be cached."""
    return chance.pick(_READS)


def any_statement(chance: Chance) -> Statement:
    """Draw any statement."""
    return chance.pick(
        chance.pick(
            (
                *(_READS,) * 8,
                *(sql.WRITES,) * 6,
                *(sql.SETTINGS,) * 5,
                *(sql.OTHER_READS,) * 4,
                *(sql.WITHIN,) * 2,
                sql.BEGINS,
                sql.ENDS,
                sql.BROKEN_READS,
                sql.DEFINITIONS,
                sql.NAMED,
                sql.CURSORS,
                sql.NOTIFYING,
                sql.LOCKS,
                sql.LARGE_OBJECTS,
            )
        )
    )


def within_block(chance: Chance) -> Statement:
    """Draw what is said in a block: mostly reads."""
    return chance.pick(
        chance.pick(
            (
                *(_READS,) * 14,
                *(sql.WITHIN,) * 2,
                *(sql.WRITES,) * 2,
                sql.OTHER_READS,
                sql.BROKEN_READS,
                sql.SETTINGS,
                sql.CURSORS,
                sql.NOTIFYING,
                sql.BEGINS,
            )
        )
    )


def several(chance: Chance) -> Statement:
    """Draw several statements in one text."""
    return chance.pick(sql.SEVERAL)


def simple(chance: Chance, pool: Pool) -> Turn:
    """A simple query."""
    return [Step((Query(literally(chance, pool(chance))),))]


def extended(chance: Chance, pool: Pool) -> Turn:
    """One statement under the unnamed name, as psycopg and libpq do."""
    return [Step((*_run(chance, pool(chance)), Sync()))]


def prepared(chance: Chance, pool: Pool) -> Turn:
    """A statement that is prepared in one turn and run in others, as asyncpg (by a Flush) and pgx (by a Sync) do."""
    statement, name = pool(chance), chance.pick(_NAMES)
    parse: list[Message] = [Parse(name, statement.sql.encode(), types_of(chance, statement))]
    if chance.one_in(2):
        parse.append(Describe(Target.STATEMENT, name))
    if chance.one_in(2):
        parse.insert(0, Close(Target.STATEMENT, name))
    steps = [Step((*parse, _sync_or_flush(chance)))]
    for _ in range(chance.between(1, 3)):
        messages: list[Message] = [bind(chance, statement, name)]
        if chance.one_in(2):
            messages.append(Describe(Target.PORTAL, b""))
        steps.append(Step((*messages, Execute(b""), Sync())))
    return steps


def execute_known(chance: Chance, pool: Pool) -> Turn:
    """Run whatever stands under a name, if anything does."""
    return [Step((bind(chance, pool(chance), chance.pick(_NAMES)), Execute(b""), Sync()))]


def pipeline(chance: Chance, pool: Pool) -> Turn:
    """Several statements before one Sync: one implicit transaction."""
    messages: list[Message] = []
    for _ in range(chance.between(2, 4)):
        statement = pool(chance)
        if chance.one_in(4):
            messages += [bind(chance, statement, chance.pick(_NAMES)), Execute(b"")]
        else:
            messages += _run(chance, statement)
    return [Step((*messages, Sync()))]


def in_any_way(chance: Chance, pool: Pool) -> Turn:
    """One statement or a few, in one of the ways in which drivers run them."""
    ways: Sequence[tuple[int, Callable[[Chance, Pool], Turn]]] = (
        (4, simple),
        (4, extended),
        (2, prepared),
        (2, execute_known),
        (2, pipeline),
    )
    return chance.pick([way for weight, way in ways for _ in range(weight)])(chance, pool)


def bound_again(chance: Chance) -> Turn:
    """A read under the unnamed name, and then the unnamed statement again without a Parse: is it still the same?"""
    read = reads(chance)
    steps = [Step((*_run(chance, read), Sync())) for _ in range(chance.between(1, 2))]
    if chance.one_in(3):
        steps += chance.pick((simple, extended))(chance, reads)
    again: list[Message] = [bind(chance, read), Execute(b"")]
    if chance.one_in(2):
        again.insert(0, Describe(Target.STATEMENT, b""))
    return [*steps, Step((*again, Sync()))]


def varied(chance: Chance) -> Turn:
    """One read with the same values and other forms: limits, formats, with a description or without."""
    read = reads(chance)
    parse, bound = Parse(b"", read.sql.encode(), types_of(chance, read)), bind(chance, read)
    steps: Turn = []
    for _ in range(chance.between(2, 4)):
        bound = replace(bound, result_formats=chance.pick(((), (1,), (0,), (0, 1))))
        described = (Describe(Target.PORTAL, b""),) if chance.one_in(2) else ()
        steps.append(Step((parse, bound, *described, Execute(b"", chance.between(0, 2)), Sync())))
    return steps


def in_portions(chance: Chance) -> Turn:
    """A portal that is fetched in parts, in a block or not, from a statement with several rows."""
    statement, portal = chance.pick(_WITH_ROWS), chance.pick(_PORTALS)
    steps = [Step((Query(b"BEGIN"),))] if chance.one_in(2) else []
    first = (Parse(b"", statement.sql.encode()), bind(chance, statement, b"", portal))
    steps.append(Step((*first, Execute(portal, chance.between(1, 3)), _sync_or_flush(chance))))
    for _ in range(chance.between(1, 3)):
        if chance.one_in(3):
            steps += chance.pick((simple, extended))(chance, reads)
        again: list[Message] = [Execute(portal, chance.between(0, 2))]
        if chance.one_in(2):
            again.insert(0, Describe(Target.PORTAL, portal))
        steps.append(Step((*again, _sync_or_flush(chance))))
    return [*steps, Step((Close(Target.PORTAL, portal), Sync()))]


def loose(chance: Chance) -> Turn:
    """Messages in any order, to a Sync."""
    return [Step((*(_loose_message(chance) for _ in range(chance.between(1, 7))), Sync()))]


def block(chance: Chance) -> Turn:
    """A transaction block, mostly of reads, begun as drivers do: by a simple query, or in front of the first read."""
    begin = chance.pick(sql.BEGINS if chance.one_in(3) else sql.BEGINS[:7])
    steps = [step for _ in range(chance.between(0, 4)) for step in in_any_way(chance, within_block)]
    if chance.one_in(2):
        steps.insert(0, Step((Query(begin.sql.encode()),)))
    elif steps and not isinstance(steps[0].messages[0], Query):
        steps[0] = Step((*_run(chance, begin), *steps[0].messages))
    else:
        steps.insert(0, Step((*_run(chance, begin), Sync())))
    if not chance.one_in(4):
        steps += chance.pick((simple, extended))(chance, lambda chance: chance.pick(sql.ENDS))
    return steps


def surprised_block(chance: Chance) -> Turn:
    """A block that may have been held back, and what brings it to light."""
    steps = [Step((Query(chance.pick(sql.BEGINS[:7]).sql.encode()),))]
    steps += [step for _ in range(chance.between(0, 2)) for step in chance.pick((simple, extended))(chance, reads)]
    steps += in_any_way(chance, lambda chance: chance.pick(chance.pick(_SURPRISES)))
    steps += [step for _ in range(chance.between(0, 1)) for step in chance.pick((simple, extended))(chance, reads)]
    steps += chance.pick((simple, extended))(chance, lambda chance: chance.pick(sql.ENDS))
    return steps + (in_any_way(chance, reads) if chance.one_in(2) else [])


def _run(chance: Chance, statement: Statement, name: bytes = b"", portal: bytes = b"") -> list[Message]:
    """Return what runs a statement, without the Sync."""
    messages: list[Message] = [Parse(name, statement.sql.encode(), types_of(chance, statement))]
    messages.append(bind(chance, statement, name, portal))
    if not chance.one_in(3):
        messages.append(Describe(Target.PORTAL, portal))
    messages.append(Execute(portal, chance.pick((0, 0, 0, 0, 1, 3))))
    return messages


def _sync_or_flush(chance: Chance) -> Message:
    return Flush() if chance.one_in(2) else Sync()


def _loose_message(chance: Chance) -> Message:
    statement, name, portal = any_statement(chance), chance.pick(_NAMES), chance.pick(_PORTALS)
    values: tuple[tuple[bytes | None, ...], ...] = ((), (b"1",), (None,))
    choices: tuple[Message, ...] = (
        Sync(),
        Flush(),
        Parse(name, statement.sql.encode()),
        Parse(name, statement.sql.encode()),
        Bind(portal, name, (), chance.pick(values), chance.pick(((), (1,)))),
        Bind(portal, name, (), (), ()),
        Describe(Target.STATEMENT, name),
        Describe(Target.PORTAL, portal),
        Execute(portal, chance.between(0, 2)),
        Execute(portal),
        Close(Target.STATEMENT, name),
        Close(Target.PORTAL, portal),
        Query(statement.sql.encode()),
    )
    return chance.pick(choices)
