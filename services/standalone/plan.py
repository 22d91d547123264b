"""What a stack is to be: the settings of its one cache, and which servers it brings along. Pure.

`tidegate up` has no settings of its own: its options are settings of the cache and of the process, given on the command
line, and they override the environment as that overrides `tidegate.toml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from services.shared.runtime.setting_sources import PREFIX, SettingProblem
from services.shared.runtime.settings import CacheSettings, ProcessSettings, Settings
from services.shared.runtime.settings_loading import SettingsError, load_settings

_DATABASE_VARIABLE = "TIDEGATE_DATABASE_URL"
_NOT_MADE_YET = "postgresql://postgres@127.0.0.1/app"  # stands in for the embedded Postgres while settings are checked


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked plan.

    Attributes:
        process: Settings of the processes.
        cache: Settings of the cache; its URLs of embedded servers are filled in when these exist.
        embed_postgres: Whether the stack brings its own Postgres.
        embed_redis: Whether it brings its own Redis.
    """

    process: ProcessSettings
    cache: CacheSettings
    embed_postgres: bool
    embed_redis: bool


def make_plan(environ: Mapping[str, str], overrides: Mapping[str, str]) -> Plan:
    """Merge and check all settings.

    Args:
        environ: The environment.
        overrides: `TIDEGATE_*` variables that the command line's options stand for.

    Raises:
        SettingsError: Some are wrong, or there is more than one cache.
    """
    merged = {**environ, **overrides}
    try:
        settings, embed_postgres = load_settings(merged), False
    except SettingsError as error:
        if merged.get(_DATABASE_VARIABLE) or not any("is not set" in problem.advice for problem in error.problems):
            raise
        settings, embed_postgres = load_settings({**merged, _DATABASE_VARIABLE: _NOT_MADE_YET}), True
    cache = _only_cache(settings)
    embed_redis = "redis_url" not in cache.model_fields_set
    return Plan(settings.process, cache, embed_postgres, embed_redis)


def with_places(cache: CacheSettings, *, database_url: str, redis_url: str, listen: str) -> CacheSettings:
    """Return a cache's settings with the places that are known once its servers and port are."""
    places = {"database_url": SecretStr(database_url), "redis_url": SecretStr(redis_url), "listen": listen}
    return cache.model_copy(update=places)


def service_environment(
    environ: Mapping[str, str], process: ProcessSettings, cache: CacheSettings, **changes: str
) -> dict[str, str]:
    """Return the environment of a service: its settings in full, and nothing of Tidegate's from anywhere else.

    Args:
        environ: The environment of the stack, from which all that is not Tidegate's is passed on.
        process: Settings of the process.
        cache: Settings of its cache.
        changes: Settings of the process that are this service's own.
    """
    own = {name: getattr(process, name) for name in ProcessSettings.model_fields} | changes
    cached = {name: getattr(cache, name) for name in CacheSettings.model_fields if name != "name"}
    return (
        {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
        | {f"{PREFIX}{name.upper()}": _written(value) for name, value in own.items()}
        | {f"{PREFIX}{cache.name.upper()}__{name.upper()}": _written(value) for name, value in cached.items()}
    )


def _only_cache(settings: Settings) -> CacheSettings:
    if len(settings.caches) != 1:
        names = ", ".join(settings.caches)
        advice = f"`tidegate up` runs one cache; there are {names}: start `tidegate proxy`, `cdc` and `invalidator`"
        raise SettingsError([SettingProblem("caches", "", advice)])
    return next(iter(settings.caches.values()))


def _written(value: object) -> str:
    """Write a setting as the environment carries it."""
    if value is None:
        return ""  # an empty variable is an unset one
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
