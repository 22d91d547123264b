"""`tidegate setup`, `check` and `teardown`: what a cache needs in its database, whether it is right, and its end."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from services.shared.runtime.command_line import cache_or_fail, fail, settings_or_fail
from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE
from services.shared.runtime.logging import configure_logging
from services.shared.runtime.quantities import parse_duration
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.refusal import Refusal
from services.shared.runtime.settings import CacheSettings, ProcessSettings

_Result = TypeVar("_Result")

Cache = Annotated[str | None, typer.Option("--cache", help="Only this cache; without it, all of the settings.")]
OneCache = Annotated[str | None, typer.Option("--cache", help="The cache, where there are several.")]


def setup(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the SQL that would be run, and run nothing.")
    ] = False,
    cache: Cache = None,
) -> None:
    """Prepare the database for a cache: publication, canary, checks; again at any time."""
    from services.installation.report import setup_script
    from services.installation.setup import set_up

    complete = True
    for settings in _caches("setup", cache):
        report = _run("setup", lambda s=settings: set_up(s, rehearse=dry_run))  # type: ignore[misc]
        for line in setup_script(report, _place(settings), settings.slot, rehearsed=dry_run):
            typer.echo(line)
        complete = complete and report.complete
    if not complete:
        raise typer.Exit(EXIT_REFUSED)


def check(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    measure: Annotated[
        str,
        typer.Option(
            "--measure",
            metavar="DURATION",
            help="Watch for so long (1min) how much tables change that would gain from another replica identity; "
            "without it, what Postgres has counted is gone by.",
        ),
    ] = "0s",
    cache: Cache = None,
) -> None:
    """Look at everything that a cache depends on, and say how to mend what is wrong; change nothing."""
    from services.installation.check import check_cache
    from services.installation.report import finding_line, findings_json, summary
    from services.shared.runtime.finding import failed

    try:
        seconds = parse_duration(measure)
    except ValueError as error:
        fail("check", f"--measure: {error}", EXIT_WRONG_USE)
    found = {
        settings.name: _run("check", lambda s=settings: check_cache(s, seconds))  # type: ignore[misc]
        for settings in _caches("check", cache)
    }
    if as_json:
        typer.echo(findings_json(found))
    for settings in [] if as_json else _caches("check", cache):
        typer.echo(_place(settings))
        for finding in found[settings.name]:
            typer.echo(finding_line(finding))
        typer.echo(summary(found[settings.name]))
    if any(map(failed, found.values())):
        raise typer.Exit(EXIT_REFUSED)


def teardown(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even if services are at work that may make it again.")
    ] = False,
    cache: OneCache = None,
) -> None:
    """Remove what there is of a cache: slot, publication, canary, keys in Redis, topic in Kafka. Stop it first."""
    from services.installation.at_work import come_back
    from services.installation.teardown import APPLICATION_NAME, find_traces, remove_traces

    settings = cache_or_fail("teardown", settings_or_fail("teardown"), cache)
    traces = _run("teardown", lambda: find_traces(settings, force=force))
    there = traces.described(settings)
    typer.echo(_place(settings))
    for line in traces.kept:
        typer.echo(f"stays: {line}")
    if there and not yes:
        for line in there:
            typer.echo(f"to be removed: {line}")
        if not sys.stdin.isatty():
            fail("teardown", "there is no terminal to ask on; --yes removes all of this without asking", EXIT_WRONG_USE)
        if not typer.confirm("Remove it?"):
            fail("teardown", "nothing was removed", EXIT_REFUSED)
    if there:
        _run("teardown", lambda: remove_traces(settings, traces, force=force))
    for line in there:
        typer.echo(f"removed: {line}")
    if traces.slot and (again := _run("teardown", lambda: come_back(settings, APPLICATION_NAME))):
        where = "somewhere a CDC service of this cache is still at work"
        fail("teardown", f"{' and '.join(again)} is there again: {where}; stop it, then run this again", EXIT_REFUSED)
    if not there and not traces.unseen:
        typer.echo("There is nothing to remove.")
    if traces.proxies:
        typer.echo("Proxies are still connected to this database: those of this cache forward everything now.")
    if traces.unseen:
        fail("teardown", f"may be left: {'; '.join(traces.unseen)}; run it again", EXIT_REFUSED)


def _caches(command: str, name: str | None) -> list[CacheSettings]:
    settings = settings_or_fail(command)
    return list(settings.caches.values()) if name is None else [cache_or_fail(command, settings, name)]


def _place(cache: CacheSettings) -> str:
    upstream = cache.upstream
    place = f"Cache {cache.name}: database {upstream.database} at {upstream.host}:{upstream.port}, role {upstream.user}"
    return " ".join(place.split())  # one line, whatever is in the names


def _run(command: str, work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Run something; what refuses is told, and ends the command. What libraries log would only say it again."""
    quiet = ProcessSettings.model_validate({"log_level": "error"})
    configure_logging(quiet, service=command, process=command)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def run() -> _Result:
        return await work()

    try:
        return asyncio.run(run())
    except Refusal as refusal:
        fail(command, mask_secrets(str(refusal)), EXIT_REFUSED)
