"""The users file: a line per user, `"name" "verifier"`, as in PgBouncer's userlist.txt. Pure.

A quote inside a name is written twice. Blank lines and lines that begin with `;` or `#` say nothing, and what follows
the second value of a line neither. Whatever is changed by us leaves all other lines as they are.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from services.proxy.scram.verifier import InvalidVerifier, Verifier
from services.proxy.verifiers.absence import Absence

_VALUE: Final = r'"((?:[^"]|"")*)"'
_LINE: Final = re.compile(rf"\s*{_VALUE}\s+{_VALUE}(?:\s.*)?")
_SILENT: Final = re.compile(r"\s*(?:[;#].*)?")


class InvalidUserlist(ValueError):
    """The text is no users file; the message names the line and repeats none of it."""


class _Line(NamedTuple):
    text: str  # without its end
    name: str | None  # None: the line says nothing
    verifier: Verifier | Absence


class Userlist:
    """The content of a users file; immutable."""

    __slots__ = ("_lines", "_verifiers")

    def __init__(self, lines: Iterable[_Line] = ()) -> None:
        self._lines = tuple(lines)
        self._verifiers = {line.name: line.verifier for line in self._lines if line.name is not None}

    @classmethod
    def parse(cls, text: str) -> "Userlist":
        """Read it.

        Raises:
            InvalidUserlist: A line is not of the form, or a user stands in two lines.
        """
        names: set[str] = set()
        lines: list[_Line] = []
        for number, written in enumerate(text.removesuffix("\n").split("\n"), 1):
            line = _read_line(number, written)
            if line.name in names:
                raise InvalidUserlist(f"line {number} is the second one for its user")
            if line.name is not None:
                names.add(line.name)
            lines.append(line)
        return cls(lines if text else ())

    @property
    def verifiers(self) -> dict[str, Verifier | Absence]:
        """The users, in order, and their verifiers, or why there is none."""
        return dict(self._verifiers)

    def find(self, name: str) -> Verifier | Absence:
        """Return a user's verifier, or why there is none."""
        return self._verifiers.get(name, Absence.UNKNOWN)

    def with_user(self, name: str, verifier: Verifier) -> "Userlist":
        """Return the list with a user's verifier, in the user's place if there is one.

        Raises:
            InvalidUserlist: No line can hold the name.
        """
        if any(ord(character) < ord(" ") for character in name):
            raise InvalidUserlist("a name with control characters does not fit in a line")
        line = _Line(f"{_quoted(name)} {_quoted(verifier.format())}", name, verifier)
        if name not in self._verifiers:
            return Userlist((*self._lines, line))
        return Userlist(line if other.name == name else other for other in self._lines)

    def without_user(self, name: str) -> "Userlist":
        """Return the list without a user."""
        return Userlist(line for line in self._lines if line.name != name)

    def format(self) -> str:
        """Write it."""
        return "".join(f"{line.text}\n" for line in self._lines)


def _read_line(number: int, text: str) -> _Line:
    if _SILENT.fullmatch(text):
        return _Line(text, None, Absence.UNKNOWN)
    parts = _LINE.fullmatch(text)
    if parts is None:
        raise InvalidUserlist(f'line {number} is not of the form "name" "verifier"')
    name, written = (part.replace('""', '"') for part in parts.groups())
    try:
        return _Line(text, name, Verifier.parse(written))
    except InvalidVerifier:
        return _Line(text, name, Absence.NOT_SCRAM)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
