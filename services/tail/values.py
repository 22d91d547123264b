"""Values of columns as a person reads them: short, on one line, and hidden where the settings say so. Pure.

What the log holds as a hash stays one. A column that the settings hide now may stand in older records as it was; it is
hashed here in the same way.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TypeAlias

from schemas.fields import HashedValue

Value: TypeAlias = str | HashedValue | None
Values: TypeAlias = Mapping[str, Value]

SHOWN_CHARACTERS = 32
"""The longest value that is shown whole."""

SHOWN_COLUMNS = 4
"""The most columns that a line names."""

_BARE = re.compile(r"[\w.:+@/-]+")
HASH_DIGITS = 8
"""How much of a hash is shown: enough to see whether two are equal."""


class HiddenColumns:
    """The columns of which only hashes are shown."""

    def __init__(self, names: Iterable[str]) -> None:
        """Prepare.

        Args:
            names: As `schema.table.column`.
        """
        self._names = frozenset(names)

    def apply(self, table: str, values: Values | None) -> Values | None:
        """Return values of a table's row (`schema.table`) with those hashed that are to be hidden."""
        if values is None or not self._names:
            return values
        return {
            name: _hashed(value) if isinstance(value, str) and f"{table}.{name}" in self._names else value
            for name, value in values.items()
        }


def _hashed(value: str) -> HashedValue:
    data = value.encode()
    return HashedValue(length=len(data), sha256=sha256(data).hexdigest())


def shown_value(value: Value) -> str:
    """Write a value for a person."""
    if value is None:
        return "NULL"
    if isinstance(value, HashedValue):
        return f"<{value.length} bytes, sha256 {value.sha256[:HASH_DIGITS]}>"
    text = value if len(value) <= SHOWN_CHARACTERS else f"{value[: SHOWN_CHARACTERS - 1]}…"
    return text if _BARE.fullmatch(text) else f"'{text}'"


def shown_name(name: str) -> str:
    """Write a column's name for a person: in quotation marks where it would fall apart."""
    return name if _BARE.fullmatch(name) else f'"{name}"'


def shown_values(values: Values) -> str:
    """Write columns with their values, the first few of them."""
    return listed([f"{shown_name(name)}={shown_value(value)}" for name, value in values.items()])


def listed(words: list[str], separator: str = " ", most: int = SHOWN_COLUMNS) -> str:
    """Join words, the first few of them."""
    if len(words) <= most:
        return separator.join(words)
    return f"{separator.join(words[:most])}{separator}(+{len(words) - most})"


def plain_values(values: Values | None) -> dict[str, object] | None:
    """Return values for a program, as they stand in the log."""
    if values is None:
        return None
    return {
        name: {"length": value.length, "sha256": value.sha256} if isinstance(value, HashedValue) else value
        for name, value in values.items()
    }


def printable(text: str) -> str:
    """Escape what would move a terminal's cursor or end the line: values and names are other people's text."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
