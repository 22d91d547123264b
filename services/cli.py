"""The `tidegate` command: one subcommand per thing that a person does.

Whatever goes wrong is told in lines that say what to do, never as a traceback. Exit codes: 0 done or stopped, 1 refused
(the message says by what), 2 wrong use or wrong settings, 70 a bug (its traceback is in the log).
"""

import asyncio
import importlib.metadata
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Annotated

import typer

from services.installation.command import check, setup, teardown
from services.proxy.audit.command import quarantine_app
from services.proxy.explain.command import explain
from services.proxy.users.command import user_app
from services.shared.redis_address import parse_redis_url
from services.shared.runtime.addresses import split_address
from services.shared.runtime.command_line import fail, settings_or_fail
from services.shared.runtime.garbage import collect_seldom
from services.shared.runtime.lifecycle import (
    EXIT_BUG,
    EXIT_REFUSED,
    EXIT_WRONG_USE,
    Refusal,
    run_together,
    run_until_stopped,
)
from services.shared.runtime.logging import cache_context, configure_logging, get_logger
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings, Settings
from services.shared.runtime.telemetry import Telemetry
from services.tail.command import tail

_HEALTH_SECONDS = 3.0
_GRACE_SECONDS = 10.0  # to clean up after a signal
_GRACE_AFTER_DRAIN_SECONDS = 5.0  # of a proxy, beside what it waits for its clients

Service = Callable[[Settings, Telemetry], Coroutine[None, None, None]]
CacheService = Callable[[CacheSettings, Telemetry], Awaitable[None]]

_log = get_logger(__name__)


app = typer.Typer(
    name="tidegate",
    help="A plug-and-play cache for Postgres.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("check")(check)
app.command("explain")(explain)
app.command("setup")(setup)
app.command("teardown")(teardown)
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(user_app, name="user")


@app.command("proxy")
def proxy() -> None:
    """Answer clients: from the cache what is proven fresh, from Postgres the rest."""

    async def start(settings: Settings, telemetry: Telemetry) -> None:
        from services.proxy.service import run_proxy

        collect_seldom()
        await run_proxy(settings, settings.process.worker_index, telemetry)

    _serve("proxy", start, numbered=True)


@app.command("cdc")
def cdc() -> None:
    """Follow the database's changes into the event log."""

    async def start(settings: Settings, telemetry: Telemetry) -> None:
        from services.cdc.service import run_cdc

        collect_seldom()
        await _run_for_every_cache(settings, telemetry, run_cdc)

    _serve("cdc", start)


@app.command("invalidator")
def invalidator() -> None:
    """Evict from Redis what the changes in the event log can alter."""

    async def start(settings: Settings, telemetry: Telemetry) -> None:
        from services.invalidator.service import run_invalidator

        collect_seldom()
        await _run_for_every_cache(settings, telemetry, run_invalidator)

    _serve("invalidator", start)


app.command("tail")(tail)


@app.command("settings")
def show_settings() -> None:
    """Print the settings in force as TOML, passwords masked."""
    settings = settings_or_fail("settings")
    sections = {"process": settings.process.shown()} | {f"cache.{n}": c.shown() for n, c in settings.caches.items()}
    for section, values in sections.items():
        typer.echo(f"[{section}]")
        for name, value in values.items():
            if name != "name":
                typer.echo(f"{name} = {json.dumps(value)}")  # a JSON string is a TOML string
        typer.echo()


@app.command("health")
def health(
    url: Annotated[
        str | None, typer.Argument(help="Where to ask; without it, the /readyz of TIDEGATE_METRICS_LISTEN.")
    ] = None,
) -> None:
    """Ask a running service whether it does its work: for the health checks of containers."""
    if url is None:
        host, port = split_address(settings_or_fail("health").process.metrics_listen)
        if port == 0:
            fail("health", "TIDEGATE_METRICS_LISTEN names no port; set one, or give a URL", EXIT_WRONG_USE)
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/readyz"  # noqa: S104 - compared
    try:
        with urllib.request.urlopen(url, timeout=_HEALTH_SECONDS) as answer:  # noqa: S310 - the user's own URL
            typer.echo(answer.read().decode(errors="replace").strip())
    except urllib.error.HTTPError as error:
        fail("health", error.read().decode(errors="replace").strip() or str(error), EXIT_REFUSED)
    except (OSError, ValueError) as error:
        fail("health", f"nobody answers at {url}: {error}", EXIT_REFUSED)


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(importlib.metadata.version("tidegate"))


def main() -> None:
    """Run the command line: the entry point of the console script."""
    light = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    if not light.intersection(sys.argv[1:2]):
        # What starts the whole stack needs much; a service that starts as a part of it should not wait for that.
        from services.standalone.command import up

        app.command("up")(up)
        app.registered_commands.insert(0, app.registered_commands.pop())  # what most people want is listed first
    app()


def _serve(name: str, service: Service, *, numbered: bool = False) -> None:
    """Run a service until it is stopped, and turn every way it can end into an exit code and, if need be, a line."""
    settings = settings_or_fail(name)
    if numbered:
        _refuse_several_workers(name, settings)
    process = f"{name}-{settings.process.worker_index}" if numbered else name
    configure_logging(settings.process, service=name, process=process, known_secrets=_passwords(settings))
    telemetry = Telemetry(process)

    async def run() -> None:
        server, port = await _serve_telemetry(telemetry, settings)
        _log.info("starting", version=importlib.metadata.version("tidegate"), metrics_port=port)
        async with server:
            await service(settings, telemetry)

    try:
        run_until_stopped(run, _drain_seconds(settings) + _GRACE_AFTER_DRAIN_SECONDS if numbered else _GRACE_SECONDS)
        _log.info("stopped")
    except Refusal as refusal:
        fail(name, mask_secrets(str(refusal)), EXIT_REFUSED)
    except Exception as error:  # noqa: BLE001 - the boundary of the process: logged, and told in one line
        _log.exception("ended by a bug")
        fail(name, f"ended by a bug, {type(error).__name__}; the log has its traceback", EXIT_BUG)


def _drain_seconds(settings: Settings) -> float:
    return max(cache.drain_timeout for cache in settings.caches.values())


def _refuse_several_workers(name: str, settings: Settings) -> None:
    process = settings.process
    if process.workers > 1 and "worker_index" not in process.model_fields_set:
        advice = "give each worker its TIDEGATE_WORKER_INDEX, from 0, and a TIDEGATE_METRICS_LISTEN of its own"
        what = f"TIDEGATE_WORKERS = {process.workers}: this command is one worker (`tidegate up` starts them all)"
        fail(name, f"{what}; {advice}", EXIT_WRONG_USE)


async def _serve_telemetry(telemetry: Telemetry, settings: Settings) -> tuple[asyncio.Server, int]:
    listen = settings.process.metrics_listen
    try:
        return await telemetry.serve(listen)
    except OSError as error:
        raise Refusal(
            f"cannot listen on {listen} for metrics ({error.strerror}); set TIDEGATE_METRICS_LISTEN"
        ) from error


async def _run_for_every_cache(settings: Settings, telemetry: Telemetry, run: CacheService) -> None:
    async def of_cache(cache: CacheSettings) -> None:
        with cache_context(cache.name):
            await run(cache, telemetry.for_cache(cache.name))

    await run_together({name: partial(of_cache, cache) for name, cache in settings.caches.items()})


def _passwords(settings: Settings) -> Iterator[str]:
    for cache in settings.caches.values():
        if cache.upstream.password:
            yield cache.upstream.password
        yield from parse_redis_url(cache.redis_url.get_secret_value()).secrets
        if cache.kafka is not None and cache.kafka.password:
            yield cache.kafka.password


if __name__ == "__main__":
    main()
