"""Rows of a relation that are named by the values of some of its columns: what a write touched, what a read looked at.

A session that has written `WHERE id = 7` need not be kept from an answer that rests on `id = 8`. Pure.
"""

from typing import NamedTuple

from services.shared.relation import ShapeColumn


class NamedRows(NamedTuple):
    """All rows whose columns hold one of some values.

    Attributes:
        relation: OID of the relation.
        catalog: Number of the reading of the catalog by which columns have their names and types.
        columns: The columns, sorted by name.
        values: What they hold, in canonical form, a tuple for each alternative.
    """

    relation: int
    catalog: int
    columns: tuple[ShapeColumn, ...]
    values: frozenset[tuple[bytes, ...]]

    def may_share_a_row(self, other: "NamedRows") -> bool:
        """Tell whether a row may be among both; by other columns, or another catalog, that cannot be excluded."""
        if self.relation != other.relation or self.catalog != other.catalog or self.columns != other.columns:
            return True
        return not self.values.isdisjoint(other.values)
