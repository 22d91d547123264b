"""The scripts' sources: one file each, with what they share put in front."""

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

_INCLUDE = "--!include "


class Script(NamedTuple):
    """A script as Redis gets it.

    Attributes:
        name: Name of its file.
        source: Its text.
        sha: Its SHA-1, which names it in EVALSHA.
    """

    name: str
    source: str
    sha: str


@cache
def load_script(name: str) -> Script:
    """Assemble a script: its first line (the flags), the preamble, what it includes, itself.

    Raises:
        FileNotFoundError: There is no script of that name.
    """
    first_line, _, body = _read(name).partition("\n")
    parts = [first_line, _read("preamble")]
    while body.startswith(_INCLUDE):
        include, _, body = body.partition("\n")
        parts.append(_read(include.removeprefix(_INCLUDE)))
    source = "\n".join([*parts, body])
    return Script(name, source, sha1(source.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
