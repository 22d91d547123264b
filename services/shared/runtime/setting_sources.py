"""Where settings are written: `TIDEGATE_*` environment variables and one TOML file, flattened to the same form.

    TIDEGATE_LOG_LEVEL=debug               a setting of the process
    TIDEGATE_MAX_STALENESS=200ms           a setting of the only cache (of `default` if nothing names one)
    TIDEGATE_ORDERS__MAX_STALENESS=200ms   a setting of the cache `orders`

    [process]                              the same in the file
    log_level = "debug"
    [cache.orders]
    max_staleness = "200ms"

The environment overrides the file. An empty variable is an unset one (compose files pass those on). Pure.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PREFIX = "TIDEGATE_"
CONFIG_VARIABLE = "TIDEGATE_CONFIG"
DEFAULT_CACHE = "default"

# Kubernetes announces every service of a namespace to every container as NAME_SERVICE_HOST, NAME_PORT_6432_TCP, …:
# a service called `tidegate` must not keep Tidegate from starting.
_SERVICE_LINK = re.compile(r"TIDEGATE(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)")


@dataclass(frozen=True, slots=True)
class RawSetting:
    """One setting as written.

    Attributes:
        cache: The cache it is for; None for the process; "" where the cache is not named.
        field: Name of the setting.
        value: What was written: text from the environment, any TOML value from the file.
        origin: How to call it when it is wrong: the variable's name, or its place in the file.
    """

    cache: str | None
    field: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """A wrong setting: what it is called where it was written, its value (secrets masked) and what would be right."""

    origin: str
    value: str
    advice: str

    def __str__(self) -> str:
        return f"{self.origin}{f' = {self.value}' if self.value else ''}: {self.advice}"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that exist."""

    process_fields: frozenset[str]
    cache_fields: frozenset[str]


Collected = tuple[list[RawSetting], list[SettingProblem]]


def from_environment(environ: Mapping[str, str], vocabulary: Vocabulary) -> Collected:
    """Pick Tidegate's variables out of an environment."""
    settings: list[RawSetting] = []
    problems: list[SettingProblem] = []
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE or not value:
            continue
        name = variable.removeprefix(PREFIX).lower()
        cache, _, field = name.rpartition("__")
        if field in vocabulary.cache_fields:
            settings.append(RawSetting(cache, field, value, variable))
        elif field in vocabulary.process_fields and not cache:
            settings.append(RawSetting(None, field, value, variable))
        elif _SERVICE_LINK.fullmatch(variable) is None:
            known = vocabulary.cache_fields if cache else vocabulary.cache_fields | vocabulary.process_fields
            written = f"{PREFIX}{cache.upper()}__" if cache else PREFIX
            advice = _unknown(field.upper(), written, (name.upper() for name in known))
            problems.append(SettingProblem(variable, "", advice))
    return settings, problems


def from_document(document: Mapping[str, object], path: str, vocabulary: Vocabulary) -> Collected:
    """Flatten a parsed `tidegate.toml`."""
    settings: list[RawSetting] = []
    problems: list[SettingProblem] = []
    for section, content in document.items():
        if section == "process" and isinstance(content, dict):
            _table(None, content, f"process.{{}} in {path}", vocabulary.process_fields, settings, problems)
        elif section == "cache" and isinstance(content, dict) and all(isinstance(t, dict) for t in content.values()):
            for cache, table in content.items():
                _table(cache, table, f"cache.{cache}.{{}} in {path}", vocabulary.cache_fields, settings, problems)
        else:
            advice = "there is no such section; write [process] and one [cache.NAME] for each cache"
            problems.append(SettingProblem(f"{section} in {path}", "", advice))
    return settings, problems


def name_caches(from_file: list[RawSetting], from_variables: list[RawSetting]) -> Collected:
    """Give a cache to every setting that names none, and let the environment override the file."""
    named = sorted({s.cache for s in (*from_file, *from_variables) if s.cache})
    only = named[0] if len(named) == 1 else DEFAULT_CACHE
    merged = {(s.cache, s.field): s for s in from_file}
    problems: list[SettingProblem] = []
    for setting in from_variables:
        cache = setting.cache
        if cache == "":
            if len(named) > 1 and DEFAULT_CACHE not in named:
                advice = f"there are several caches ({', '.join(named)}); write TIDEGATE_NAME__{setting.field.upper()}"
                problems.append(SettingProblem(setting.origin, "", advice))
                continue
            cache = only
        merged[cache, setting.field] = RawSetting(cache, setting.field, setting.value, setting.origin)
    return list(merged.values()), problems


def _table(
    cache: str | None,
    table: Mapping[str, object],
    origin: str,
    known: frozenset[str],
    settings: list[RawSetting],
    problems: list[SettingProblem],
) -> None:
    for field, value in table.items():
        if field in known:
            settings.append(RawSetting(cache, field, value, origin.format(field)))
        else:
            problems.append(SettingProblem(origin.format(field), "", _unknown(field, "", known)))


def _unknown(field: str, written_before: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(field, known, n=1, cutoff=0.6)
    return (
        f"there is no such setting; did you mean {written_before}{close[0]}?" if close else "there is no such setting"
    )
