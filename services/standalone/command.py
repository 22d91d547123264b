"""`tidegate up`: the whole stack on one machine, until Ctrl-C or SIGTERM."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE, Refusal, run_until_stopped
from services.shared.runtime.logging import configure_logging
from services.shared.runtime.settings import ProcessSettings
from services.shared.runtime.settings_loading import SettingsError
from services.standalone import banner
from services.standalone.output import Output
from services.standalone.plan import Plan, make_plan
from services.standalone.stack import StackOptions, running_stack

_STOP_SECONDS = 60.0  # for all processes one after the other, beside what the proxies wait for their clients

_OPTION_OF_VARIABLE = {
    "TIDEGATE_DATABASE_URL": "--database-url",
    "TIDEGATE_LISTEN": "--listen",
    "TIDEGATE_MAX_STALENESS": "--max-staleness",
    "TIDEGATE_CONSISTENCY": "--consistency",
    "TIDEGATE_WORKERS": "--workers",
    "TIDEGATE_EVENT_LOG": "--kafka",
    "TIDEGATE_KEEP": "--keep",
    "TIDEGATE_LOG_FORMAT": "--log-format",
}


def up(  # noqa: PLR0913, PLR0917 - the parameters are the options of the command line
    database_url: Annotated[
        str | None,
        typer.Option(
            help="The database to cache; without one an embedded Postgres is started. "
            "Put a URL with a password into TIDEGATE_DATABASE_URL instead: others can read arguments."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT for clients, 127.0.0.1:6432 when not given; another port is chosen when it is taken."
        ),
    ] = None,
    max_staleness: Annotated[
        str | None, typer.Option(help="How old an answer may be at most, such as 200ms; 1s when not given.")
    ] = None,
    consistency: Annotated[str | None, typer.Option(help="off, bounded or session; session when not given.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="How many proxy processes share the port; one per core when not given.")
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            metavar="BOOTSTRAP",
            help="Brokers as HOST:PORT[,HOST:PORT], or a URL as TIDEGATE_EVENT_LOG takes, where one with a password "
            "belongs: others can read arguments. Without, the log is in Redis.",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave slot and publication in place at the end.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write a JSON file with all addresses and process ids when everything is ready.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the embedded servers keep their data; without, in a temporary folder.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console; auto when not given.")] = None,
) -> None:
    """Start the whole stack on this machine, each service a process of its own, until Ctrl-C."""
    given = {
        "TIDEGATE_DATABASE_URL": database_url,
        "TIDEGATE_LISTEN": listen,
        "TIDEGATE_MAX_STALENESS": max_staleness,
        "TIDEGATE_CONSISTENCY": consistency,
        "TIDEGATE_WORKERS": None if workers is None else str(workers),
        "TIDEGATE_EVENT_LOG": None if kafka is None else kafka if "://" in kafka else f"kafka://{kafka}",
        "TIDEGATE_KEEP": "true" if keep else None,
        "TIDEGATE_LOG_FORMAT": log_format,
    }
    overrides = {variable: value for variable, value in given.items() if value is not None}
    try:
        plan = make_plan(os.environ, overrides)
    except SettingsError as error:
        _complain(_in_words_of_the_command_line(str(error), overrides))
        raise typer.Exit(EXIT_WRONG_USE) from error
    _run(plan, StackOptions(data_dir=data_dir, ready_file=ready_file))


def _run(plan: Plan, options: StackOptions) -> None:
    """Run the stack until it is stopped; a refusal ends the command."""
    process = plan.process.model_copy(update={"log_format": _log_format(plan.process)})
    plan = replace(plan, process=process)
    configure_logging(process, service="standalone", process="up")
    try:
        run_until_stopped(lambda: _up(plan, options), stop_seconds(plan))
    except Refusal as error:
        _complain(str(error))
        raise typer.Exit(EXIT_REFUSED) from error


def stop_seconds(plan: Plan) -> float:
    """Return how long a stop of the whole stack may take before the kernel ends what is left."""
    return _STOP_SECONDS + plan.cache.drain_timeout


async def _up(plan: Plan, options: StackOptions) -> None:
    output = Output(sys.stderr, as_json=plan.process.log_format == "json")
    stop_with_the_terminal()
    async with running_stack(plan, options, output.receive) as stack:
        banner.show(Console(), stack, options.ready_file)
        await asyncio.Event().wait()


def stop_with_the_terminal() -> None:
    """Stop in order, too, when the terminal is closed; not when the user said so (nohup)."""
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, signal.raise_signal, signal.SIGTERM)


def _log_format(process: ProcessSettings) -> Literal["json", "console"]:
    """Decide what `auto` means here: the services print into a pipe and cannot tell."""
    if process.log_format == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return process.log_format


def _complain(text: str) -> None:
    Console(stderr=True).print(f"[bold red]tidegate up:[/] {escape(text)}", highlight=False, soft_wrap=True)


def _in_words_of_the_command_line(text: str, overrides: dict[str, str]) -> str:
    """Name options where the settings' errors name the variables that stand for them."""
    for variable in overrides:
        text = text.replace(variable, _OPTION_OF_VARIABLE[variable])
    return text
