"""Where a value that a column is compared with comes from, and as which type it is read. Pure."""

from dataclasses import dataclass
from typing import TypeAlias

from services.proxy.sql.tag_families import READABLE, TYPE_OIDS, Family
from services.proxy.sql.written_conditions import STRING_KINDS, WrittenValue
from services.shared.keyspace.canonical import TypeOid

_UNDECLARED, _UNKNOWN_TYPE = 0, 705


@dataclass(frozen=True, slots=True)
class LiteralSource:
    """The value is the literal of that number (`Lexed.literals`).

    Attributes:
        index: Its number.
        type_oid: The type as which it is read.
        is_array: Whether its elements are the values.
    """

    index: int
    type_oid: int
    is_array: bool = False


@dataclass(frozen=True, slots=True)
class ParameterSource:
    """The value is the parameter of that number, counted from 0.

    Attributes:
        index: Its number.
        types: Types that the client may have declared for it, 0 for none. With any other the tag must be widened.
        type_oid: The type as which a value is read that has none of its own; of an array: an element.
        members: Types that a value may have on the wire.
        is_array: Whether its elements are the values; `types` are then those of the array.
    """

    index: int
    types: tuple[int, ...]
    type_oid: int
    members: tuple[int, ...]
    is_array: bool = False

    def read_as(self, declared: int) -> int:
        """Return the type as which a value of a declared type is read; an enum's label is a text."""
        return declared if declared in self.members and declared in READABLE else self.type_oid


ValueSource: TypeAlias = LiteralSource | ParameterSource


@dataclass(frozen=True, slots=True)
class Bounds:
    """The values between which a column is; one side may have none, and all have to hold that there are.

    Attributes:
        low, high: Where those come from that it is not less than, and not greater than.
    """

    low: tuple[ValueSource, ...] = ()
    high: tuple[ValueSource, ...] = ()

    def with_limit(self, source: ValueSource, *, is_low: bool) -> "Bounds":
        """Return these and another one."""
        return Bounds((*self.low, source), self.high) if is_low else Bounds(self.low, (*self.high, source))


UNBOUNDED = Bounds()


def source_of(family: Family, value: WrittenValue, *, may_be_undeclared: bool) -> ValueSource | None:
    """Return where a value comes from, if it is compared as one of the column's family.

    Args:
        family: What the column compares with.
        value: The value.
        may_be_undeclared: Whether a parameter without a declared type is of the column's.
    """
    type_oid, members = family.type_oid, family.members
    if value.cast:
        cast_oid = TYPE_OIDS.get(value.cast)
        if cast_oid is None or cast_oid not in family.members:
            return None
        type_oid, members = cast_oid, family.kept_by_cast(cast_oid)
    if value.ref.kind == "parameter":
        types = tuple(oid for oid in map(family.array_of, members) if oid) if value.is_array else members
        undeclared = (_UNDECLARED, _UNKNOWN_TYPE) if may_be_undeclared else ()
        return ParameterSource(value.ref.number, (*undeclared, *types), type_oid, members, is_array=value.is_array)
    if value.literal_kind in STRING_KINDS:
        return LiteralSource(value.ref.number, type_oid, value.is_array)
    if value.literal_kind not in family.number_kinds or value.cast:
        return None
    return LiteralSource(value.ref.number, TypeOid.NUMERIC, value.is_array)
