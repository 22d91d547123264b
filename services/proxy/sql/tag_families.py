"""Types whose columns may narrow a tag: values that SQL finds equal have one canonical form, an order has keys. Pure.

A family compares within itself, by equality or by order. An enum's values are equal if their labels are; renaming a
label changes the catalog, and with it the key of every answer.
"""

from dataclasses import dataclass

from services.proxy.sql.snapshot import Column
from services.shared.keyspace.canonical import TypeOid
from services.shared.keyspace.order_keys import MOMENTS, NUMBERS, ORDERED, OrderedOid

_NUMBERS = (TypeOid.INT8, TypeOid.INT2, TypeOid.INT4, TypeOid.NUMERIC)
_WHOLE_NUMBERS = (TypeOid.INT8, TypeOid.INT2, TypeOid.INT4)
_TEXTS = (TypeOid.TEXT, TypeOid.VARCHAR)
ARRAYS: dict[int, int] = {
    TypeOid.BOOL: 1000,
    TypeOid.INT2: 1005,
    TypeOid.INT4: 1007,
    TypeOid.TEXT: 1009,
    TypeOid.VARCHAR: 1015,
    TypeOid.INT8: 1016,
    TypeOid.DATE: 1182,
    TypeOid.NUMERIC: 1231,
    TypeOid.UUID: 2951,
}
"""The array type of each, from `pg_type`."""

READABLE: frozenset[int] = frozenset(TypeOid) | ORDERED
"""Types whose values have a canonical form or a key."""

TYPE_OIDS = {
    "bool": TypeOid.BOOL,
    "int2": TypeOid.INT2,
    "int4": TypeOid.INT4,
    "int8": TypeOid.INT8,
    "numeric": TypeOid.NUMERIC,
    "text": TypeOid.TEXT,
    "varchar": TypeOid.VARCHAR,
    "date": TypeOid.DATE,
    "uuid": TypeOid.UUID,
    "float8": OrderedOid.FLOAT8,
    "timestamp": OrderedOid.TIMESTAMP,
    "timestamptz": OrderedOid.TIMESTAMPTZ,
}


_KEPT_BY_CAST: dict[int, tuple[int, ...]] = {
    **dict.fromkeys(_WHOLE_NUMBERS, _WHOLE_NUMBERS),  # others are rounded
    TypeOid.NUMERIC: _NUMBERS,  # a double is cut to fifteen digits
    TypeOid.DATE: (TypeOid.DATE,),
    OrderedOid.TIMESTAMP: (TypeOid.DATE, OrderedOid.TIMESTAMP),
    OrderedOid.TIMESTAMPTZ: (OrderedOid.TIMESTAMPTZ,),
}


@dataclass(frozen=True, slots=True)
class Family:
    """What a column's values compare with.

    Attributes:
        type_oid: The type as which a value without one is read: the column's own, and text for an enum's label.
        members: OIDs of the types with which they compare as values, and not as something else.
        number_kinds: How numbers may be written that are compared with them (`LiteralKind`).
        name: The same for all types that compare with each other.
    """

    type_oid: int
    members: tuple[int, ...]
    number_kinds: tuple[str, ...]
    name: str

    def kept_by_cast(self, type_oid: int) -> tuple[int, ...]:
        """Return the members whose values a cast to one of them leaves as they are."""
        kept = _KEPT_BY_CAST.get(type_oid, self.members)
        return tuple(member for member in self.members if member in kept)

    def array_of(self, type_oid: int) -> int:
        """Return the OID of a member's array type; 0 if it is not known."""
        return ARRAYS.get(type_oid, 0)


def family_of(column: Column) -> Family | None:
    """Return a column's family; None if its values have no canonical form, or may be missing from a row change."""
    type_oid = column.type_oid
    if column.generated:
        return None
    if column.is_enum:
        return Family(TypeOid.TEXT, (type_oid,), (), f"enum {type_oid}")
    if type_oid in _NUMBERS:
        kinds = ("int", "num") if type_oid == TypeOid.NUMERIC else ("int",)
        return Family(type_oid, _NUMBERS, kinds, "numbers")
    if type_oid in _TEXTS:
        return Family(type_oid, _TEXTS, (), "texts") if column.deterministic else None
    if type_oid in (TypeOid.UUID, TypeOid.BOOL, TypeOid.DATE):
        return Family(type_oid, (type_oid,), (), TypeOid(type_oid).name)
    return None


def order_of(column: Column) -> Family | None:
    """Return what a column's values are ordered with; None if they have no keys, or may be missing from a change."""
    type_oid = column.type_oid
    if column.generated:
        return None
    if type_oid in NUMBERS:
        return Family(type_oid, NUMBERS, ("int", "num"), "numbers")
    if type_oid in MOMENTS:
        return Family(type_oid, MOMENTS, (), "moments")
    return Family(type_oid, (type_oid,), (), "uuids") if type_oid == TypeOid.UUID else None
