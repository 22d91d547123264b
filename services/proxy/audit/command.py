"""The command `tidegate quarantine`: templates that are not cached, since an answer was proven wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.shared.runtime.command_line import cache_or_fail, fail, settings_or_fail
from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE
from services.shared.runtime.quantities import format_duration

if TYPE_CHECKING:
    from services.shared.keyspace.quarantined import Quarantined, QuarantineList

quarantine_app = typer.Typer(
    help="Templates that are not cached, since the auditor has proven an answer wrong.", no_args_is_help=True
)

Cache = Annotated[str | None, typer.Option("--cache", help="The cache, where there are several.")]


@quarantine_app.command("list")
def list_templates(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False, cache: Cache = None
) -> None:
    """Print the templates: id, time, text."""
    settings = cache_or_fail("quarantine list", settings_or_fail("quarantine list"), cache)
    from services.proxy.audit.listing import ask, quarantined

    with _answers("quarantine list"):
        found = ask(settings, quarantined)
    if as_json:
        typer.echo(json.dumps([{"id": one.id} | asdict(one) for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        typer.echo(f"{one.id}  {one.since}  {one.template}")


@quarantine_app.command("release")
def release(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As list prints it.")],
    *,
    now: Annotated[bool, typer.Option("--now", help="Though answers from before may still be in Redis.")] = False,
    cache: Cache = None,
) -> None:
    """Have a template cached again, by all workers within a second or two."""
    settings = cache_or_fail("quarantine release", settings_or_fail("quarantine release"), cache)
    from services.proxy.audit.listing import ask, quarantined

    async def released(shared: "QuarantineList") -> "Quarantined":
        found = next((one for one in await quarantined(shared) if one.id == identifier), None)
        if found is None:
            fail("quarantine release", f"no template with the id {identifier} is quarantined", EXIT_WRONG_USE)
        if not now and datetime.now(UTC) < datetime.fromisoformat(found.since) + timedelta(
            seconds=settings.max_entry_age
        ):
            age = format_duration(settings.max_entry_age)
            fail(
                "quarantine release",
                f"its answers from before may be in Redis until {age} (max_entry_age) after {found.since}: "
                "wait, or --now",
                EXIT_REFUSED,
            )
        await shared.put(found.release())
        return found

    with _answers("quarantine release"):
        found = ask(settings, released)
    typer.echo(f"cached again: {found.template}")


@contextmanager
def _answers(command: str) -> Iterator[None]:
    """Tell when Redis does not answer."""
    from services.shared.keyspace.runner import BucketUnavailable

    try:
        yield
    except BucketUnavailable as error:
        fail(command, str(error), EXIT_REFUSED)
