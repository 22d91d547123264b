"""A statement with its values, in the two ways in which a client sends it. Pure."""

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement.

    Attributes:
        text: With `$1`, `$2` and so on.
        values: Those, as text.
        quoted: Which of them are quoted in a simple query, from 0.
    """

    text: str
    values: tuple[str, ...] = ()
    quoted: frozenset[int] = frozenset()

    def inlined(self) -> str:
        """Return the text with its values as literals, as a client writes it that knows no parameters."""
        return _PARAMETER.sub(lambda found: self._literal(int(found[1]) - 1), self.text)

    def _literal(self, index: int) -> str:
        value = self.values[index]
        return "'" + value.replace("'", "''") + "'" if index in self.quoted else value


def statement(text: str, *values: str | int) -> Statement:
    """Return a statement: numbers stay numbers, and texts are quoted."""
    quoted = frozenset(index for index, value in enumerate(values) if isinstance(value, str))
    return Statement(text, tuple(map(str, values)), quoted)
