"""What a statement asks for itself, in a comment in the form of SQLCommenter (https://google.github.io/sqlcommenter/).

`/* tidegate_consistency='strong', tidegate_max_staleness='200ms', tidegate_skip='1' */`, anywhere in the statement,
between keys of others. Values are quoted and URL-encoded. What is not understood is forwarded: it may have asked for
something that matters. Pure.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from services.proxy.sql.lexer import comments
from services.shared.runtime.quantities import parse_duration
from services.shared.runtime.settings import Consistency, parse_bound

MARK = b"tidegate_"
"""What a text holds that has directives; most texts need no closer look."""

_PAIR = re.compile(r"(tidegate_\w*)\s*=\s*'((?:[^'\\]|\\.)*)'", re.DOTALL)
_TRUE, _FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no")


@dataclass(frozen=True, slots=True)
class Directives:
    """What a statement asks for.

    Attributes:
        skip: To be forwarded.
        consistency: A level of its own.
        max_staleness: A bound of its own, in seconds.
        ageing_ttl: For how many seconds at most its answers may age; 0: not at all.
        unknown: What was not understood; empty if all was.
    """

    skip: bool = False
    consistency: Consistency | None = None
    max_staleness: float | None = None
    ageing_ttl: float | None = None
    unknown: str = ""


NO_DIRECTIVES = Directives()


def read_directives(text: str) -> Directives:
    """Read the directives of a statement that can be cut into tokens; the last one of a name counts."""
    found: dict[str, str] = {}
    unread = 0
    for comment in comments(text):
        pairs = _PAIR.findall(comment)
        unread += comment.count(MARK.decode()) - sum(
            1 + value.count(MARK.decode()) + name.count(MARK.decode(), 1) for name, value in pairs
        )
        found.update((name, unquote(re.sub(r"\\(.)", r"\1", value))) for name, value in pairs)
    try:
        return _understood(found) if not unread else Directives(unknown="a directive is not of the form name='value'")
    except ValueError as error:
        return Directives(unknown=str(error))


def _understood(found: dict[str, str]) -> Directives:
    skip, consistency, max_staleness, ageing_ttl = False, None, None, None
    for name, value in found.items():
        match name.removeprefix(MARK.decode()):
            case "skip":
                skip = _truth(value)
            case "consistency":
                consistency = Consistency(value.lower())
            case "max_staleness":
                max_staleness = parse_bound(value)
            case "ageing_ttl":
                ageing_ttl = parse_duration(value)
            case _:
                raise ValueError(f"{name} is no directive")
    return Directives(skip, consistency, max_staleness, ageing_ttl)


def _truth(value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise ValueError(f"{value} is neither 1 nor 0")
    return value.lower() in _TRUE
