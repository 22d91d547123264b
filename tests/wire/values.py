"""Parameters: mostly what their statement expects, sometimes NULL, of the wrong form or of the wrong number."""

import struct

from services.shared.pgwire.frontend import Bind
from tests.wire.chance import Chance
from tests.wire.statements import Kind, Statement

_INT4, _INT8, _TEXT = 23, 20, 25
_NUMBERS = {Kind.KEY: (1, 1, 1, 2, 3, 99), Kind.NUMBER: (30, 30, 3, 100)}
_TEXTS = {Kind.TEXT: ("person 1", "new name"), Kind.PATTERN: ("%1%", "person _")}
_RESULT_FORMATS = ((),) * 9 + ((0,),) * 2 + ((1,),) * 6 + ((1, 0), (7,))
_RARELY = 24  # one value in so many is not what it should be


def literally(chance: Chance, statement: Statement) -> bytes:
    """Return a statement with literals in place of its parameters."""
    text = statement.sql
    for number, kind in enumerate(statement.parameters, 1):
        value = chance.pick(_NUMBERS.get(kind) or _TEXTS[kind])
        literal = str(value) if isinstance(value, int) else f"'{value}'"
        text = text.replace(f"${number}", "NULL" if chance.one_in(_RARELY) else literal)
    return text.encode()


def types_of(chance: Chance, statement: Statement) -> tuple[int, ...]:
    """Return the parameter types that a Parse declares."""
    if not statement.parameters:
        return ()
    own = tuple(_INT4 if kind in _NUMBERS else _TEXT for kind in statement.parameters)
    return chance.pick(((),) * 6 + (own,) * 6 + ((0,) * len(own), (_INT8,), (_TEXT,)))


def bind(chance: Chance, statement: Statement, name: bytes = b"", portal: bytes = b"") -> Bind:
    """Return a Bind of a statement that stands under a name."""
    binary = chance.one_in(3)
    values = tuple(_value(chance, kind, binary=binary) for kind in statement.parameters)
    formats: tuple[int, ...] = (1,) if binary and values else chance.pick(((), (), (0,)))
    if chance.one_in(_RARELY):
        values += (b"1",)
    return Bind(portal, name, formats, values, chance.pick(_RESULT_FORMATS))


def _value(chance: Chance, kind: Kind, *, binary: bool) -> bytes | None:
    if chance.one_in(_RARELY):
        return chance.pick((None, b"no number"))
    if kind in _NUMBERS:
        number = chance.pick(_NUMBERS[kind])
        return struct.pack(">i", number) if binary else str(number).encode()
    return chance.pick(_TEXTS[kind]).encode()
