"""Which tables a person wants to see. Pure."""

from collections.abc import Iterable


class TableFilter:
    """Names as `schema.table`, or `table` in any schema; no names: all tables."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)

    @property
    def is_narrow(self) -> bool:
        """Whether some tables are left out."""
        return bool(self._names)

    def wants(self, schema: str, table: str) -> bool:
        """Tell whether a table is among them."""
        return not self._names or table in self._names or f"{schema}.{table}" in self._names

    def missing(self, known: Iterable[tuple[str, str]]) -> list[str]:
        """Return the names under which no table is known."""
        found = {name for schema, table in known for name in (table, f"{schema}.{table}")}
        return sorted(self._names - found)
