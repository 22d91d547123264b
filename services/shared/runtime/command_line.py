"""What the subcommands share: reading the settings, and failing in lines that say what to do."""

import os
from typing import NoReturn

import typer

from services.shared.runtime.lifecycle import EXIT_WRONG_USE
from services.shared.runtime.settings import CacheSettings, Settings
from services.shared.runtime.settings_loading import SettingsError, load_settings


def settings_or_fail(command: str) -> Settings:
    """Read the settings, or end the command.

    Args:
        command: What the subcommand is called.

    Raises:
        Exit: They are wrong.
    """
    try:
        return load_settings(os.environ)
    except SettingsError as error:
        fail(command, str(error), EXIT_WRONG_USE)


def cache_or_fail(command: str, settings: Settings, name: str | None) -> CacheSettings:
    """Return the cache that is meant, or end the command.

    Args:
        command: What the subcommand is called.
        settings: The settings.
        name: What the user called it; None for the only one.

    Raises:
        Exit: There is no such cache, or there are several to choose from.
    """
    caches = settings.caches
    if name is None and len(caches) == 1:
        return next(iter(caches.values()))
    if name not in caches or name is None:
        fail(command, f"say which cache is meant, with --cache: {', '.join(caches)}", EXIT_WRONG_USE)
    return caches[name]


def fail(command: str, message: str, exit_code: int) -> NoReturn:
    """Tell what is wrong on standard error, each line under the command's name, and end.

    Raises:
        Exit: Always.
    """
    for line in message.splitlines():
        typer.echo(f"tidegate {command}: {line}", err=True)
    raise typer.Exit(exit_code)
