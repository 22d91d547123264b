"""Settings with which sessions begin, as far as they decide whether anything in them can be cached. Pure.

The proxy looks at each session by itself (`services.proxy.session.state`); what is said here is what it will find.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.shared.runtime.finding import Finding, Level

_TOPIC = "sessions"
_ELSEWHERE = "reset it in postgresql.conf, or in the options of the URL"
_CONSISTENCIES = ("", "off", "bounded", "session")


@dataclass(frozen=True, slots=True)
class Default:
    """A setting that some sessions begin with.

    Attributes:
        who: Which sessions, for people.
        name: Of the setting.
        value: As Postgres shows it.
        reset: The statement that takes it back; empty where it is not known who has set it.
    """

    who: str
    name: str
    value: str
    reset: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a value of a setting does to caching."""

    spoils: Callable[[str], bool]
    effect: str


def _path(value: str) -> list[str]:
    """Take a search path apart, as far as needed: names with commas in them are not what this is about."""
    return [part.strip().strip('"').lower() for part in value.split(",") if part.strip()]


def _shadows(value: str) -> bool:
    path = _path(value)
    return "pg_catalog" in path and next(name for name in path if name != "pg_temp") != "pg_catalog"


def _is_utf8(value: str) -> bool:
    return value.lower().replace("-", "").strip("'\"") in ("utf8", "unicode")


_RULES = {
    "default_transaction_isolation": _Rule(
        lambda value: value.lower() != "read committed", "nothing is cached, for each statement may need its snapshot"
    ),
    "standard_conforming_strings": _Rule(
        lambda value: value.lower() not in ("on", "true", "yes", "1"), "nothing is cached: strings mean something else"
    ),
    "client_encoding": _Rule(
        lambda value: not _is_utf8(value), "nothing is cached unless the client asks for UTF8, as most drivers do"
    ),
    "search_path": _Rule(
        _shadows, "nothing is cached: a schema stands before pg_catalog, so any name may mean something else"
    ),
    "tidegate.consistency": _Rule(
        lambda value: value.lower() == "off" or value.lower() not in _CONSISTENCIES, "everything is forwarded"
    ),
}

NAMES = tuple(_RULES)
"""The settings that matter."""


def defaults_findings(defaults: Iterable[Default]) -> list[Finding]:
    """Judge the settings that sessions begin with.

    Args:
        defaults: Those of our own role first; then whatever is set for roles and databases.
    """
    spoilt = [default for default in defaults if default.name in _RULES and _RULES[default.name].spoils(default.value)]
    if not spoilt:
        return [Finding(Level.OK, _TOPIC, "Sessions begin with settings with which answers can be cached")]
    return list(map(_spoils, _without_echoes(spoilt)))


def _spoils(default: Default) -> Finding:
    text = f"{default.who} begin with {default.name} = {default.value}: {_RULES[default.name].effect}"
    remedy = f"{default.reset or _ELSEWHERE}, if the application does not rely on it"
    return Finding(Level.WARN, _TOPIC, text, remedy)


def _without_echoes(defaults: Sequence[Default]) -> list[Default]:
    """Leave out what our own role's sessions begin with where it is said who has set that."""
    told = {(default.name, default.value.lower()) for default in defaults if default.reset}
    return [default for default in defaults if default.reset or (default.name, default.value.lower()) not in told]
