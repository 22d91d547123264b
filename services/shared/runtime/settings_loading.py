"""Reads, merges and checks the settings of a process: file and environment, every problem named at once."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from services.shared.runtime.authentication import auth_contradictions
from services.shared.runtime.quantities import format_duration
from services.shared.runtime.redaction import mask_secrets, shown_secret
from services.shared.runtime.setting_sources import (
    CONFIG_VARIABLE,
    RawSetting,
    SettingProblem,
    Vocabulary,
    from_document,
    from_environment,
    name_caches,
)
from services.shared.runtime.settings import CacheSettings, ProcessSettings, Section, Settings

DEFAULT_CONFIG_FILE = Path("tidegate.toml")

_AnySection = TypeVar("_AnySection", bound=Section)


class SettingsError(Exception):
    """The settings are wrong. `problems` lists every one; the message is for the person who wrote them."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def load_settings(environ: Mapping[str, str], toml_path: Path | None = None) -> Settings:
    """Read, merge and check all settings.

    Args:
        environ: The environment; `os.environ` of a real process.
        toml_path: The file; None for the one that `TIDEGATE_CONFIG` names, else `tidegate.toml` here if it exists.

    Raises:
        SettingsError: Some of them are wrong, or no cache is named.
    """
    vocabulary = Vocabulary(frozenset(ProcessSettings.model_fields), frozenset(CacheSettings.model_fields) - {"name"})
    document, path = _read_document(environ, toml_path)
    from_file, file_problems = from_document(document, path, vocabulary)
    from_variables, variable_problems = from_environment(environ, vocabulary)
    raw, merge_problems = name_caches(from_file, from_variables)
    problems = [*file_problems, *variable_problems, *merge_problems]

    process = _build(ProcessSettings, {}, [s for s in raw if s.cache is None], problems)
    caches = {}
    for name in sorted({s.cache for s in raw if s.cache is not None}):
        cache = _build(CacheSettings, {"name": name}, [s for s in raw if s.cache == name], problems)
        if cache is not None:
            caches[name] = cache
    if not any(s.cache is not None for s in raw) and not problems:
        problems.append(SettingProblem("TIDEGATE_DATABASE_URL", "", "is not set; it names the database to cache"))
    problems.extend(_contradictions(process, caches, {(s.cache, s.field): s.origin for s in raw}))
    if problems or process is None:
        raise SettingsError(problems)
    return Settings(process=process, caches=caches)


def _read_document(environ: Mapping[str, str], toml_path: Path | None) -> tuple[Mapping[str, object], str]:
    named = toml_path or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    path = named or DEFAULT_CONFIG_FILE
    if named is None and not path.exists():
        return {}, str(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), str(path)
    except OSError as error:
        raise SettingsError([SettingProblem(str(path), "", f"cannot be read: {error.strerror}")]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser's message can quote the line; the line may hold a password.
        raise SettingsError([SettingProblem(str(path), "", f"is not TOML: {mask_secrets(str(error))}")]) from error


def _build(
    section: type[_AnySection], given: dict[str, object], raw: list[RawSetting], problems: list[SettingProblem]
) -> _AnySection | None:
    """Make one section, or add what is wrong with it to the problems."""
    try:
        return section.model_validate(given | {s.field: s.value for s in raw})
    except ValidationError as error:
        origins = {s.field: s for s in raw}
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            problems.append(_problem(section, str(detail["loc"][0]), detail["msg"], origins, given))
        return None


def _problem(
    section: type[Section],
    field: str,
    message: str,
    origins: Mapping[str, RawSetting],
    given: Mapping[str, object],
) -> SettingProblem:
    wanted = section.model_fields[field].description or ""
    setting = origins.get(field)
    if setting is None and field in given:
        return SettingProblem("cache", repr(given[field]), f"a cache's name should be {wanted}")
    if setting is None:
        where = f"TIDEGATE_{field.upper()}" if given.get("name") == "default" else f"cache.{given.get('name')}.{field}"
        return SettingProblem(where, "", f"is not set; it should be {wanted}")
    shown = shown_secret(str(setting.value)) if field in section.secret_fields else repr(setting.value)
    reason = message.removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    return SettingProblem(setting.origin, shown, f"{reason} ({wanted})")


def _contradictions(
    process: ProcessSettings | None,
    caches: Mapping[str, CacheSettings],
    origins: Mapping[tuple[str | None, str], str],
) -> Iterable[SettingProblem]:
    """Find settings that are right by themselves and wrong together."""
    if process is not None and process.worker_index >= (workers := max(process.workers, 1)):
        origin = origins.get((None, "worker_index"), "worker_index")
        yield SettingProblem(origin, str(process.worker_index), f"should be less than workers, {workers}")
    taken: dict[str, str] = {}
    for name, cache in caches.items():
        if cache.listen_address[1] and taken.setdefault(cache.listen, name) != name:
            yield SettingProblem(
                _origin(origins, name, "listen"), cache.listen, f"the cache {taken[cache.listen]} has that address"
            )
        if cache.l1_bytes and cache.capture_bytes > cache.l1_bytes:
            advice = f"should not be more than l1_bytes, {cache.l1_bytes}: such an answer would never fit"
            yield SettingProblem(_origin(origins, name, "capture_bytes"), str(cache.capture_bytes), advice)
        if (cache.tls_certificate is None) != (cache.tls_key is None):
            given, missing = ("tls_key", "certificate") if cache.tls_key else ("tls_certificate", "key")
            advice = f"there is no {missing} to it; set tls_{missing} too"
            yield SettingProblem(_origin(origins, name, given), str(getattr(cache, given)), advice)
        for field, advice in auth_contradictions(cache.auth, cache.users_file, cache.auth_query):
            yield SettingProblem(_origin(origins, name, field), str(getattr(cache, field)), advice)
        if cache.max_entry_age < cache.max_staleness:
            advice = f"should not be less than max_staleness, {format_duration(cache.max_staleness)}"
            yield SettingProblem(_origin(origins, name, "max_entry_age"), format_duration(cache.max_entry_age), advice)


def _origin(origins: Mapping[tuple[str | None, str], str], cache: str, field: str) -> str:
    return origins.get((cache, field), f"cache.{cache}.{field}")
