"""`python -m demo`: a shop, a cache in front of it, and the proof that nobody saw a wrong price.

Starts the whole stack on an embedded Postgres, as `tidegate up` does, fills the shop, measures, reports, and leaves the
stack up for playing until Ctrl-C.
"""

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.console import Console
from rich.markup import escape

from demo import report, shop
from demo.measure import Workload, measure
from demo.programs import ProgramError, Programs
from demo.shop import ShopSize
from services.shared.runtime.lifecycle import EXIT_REFUSED, Refusal, run_until_stopped
from services.shared.runtime.logging import configure_logging
from services.shared.runtime.setting_sources import PREFIX
from services.shared.runtime.upstream import Upstream
from services.standalone.banner import look_inside
from services.standalone.command import stop_seconds, stop_with_the_terminal
from services.standalone.http import FetchError
from services.standalone.output import Output
from services.standalone.plan import Plan, make_plan
from services.standalone.postgres import installation
from services.standalone.stack import Stack, StackOptions, running_stack

_LOG = Path(__file__).parent.parent / ".cache" / "demo.log"
_EXIT_WRONG_ANSWER = 1
_STACK_WENT_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, FetchError)


class Progress:
    """Says what is going on, and what each step took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._title = ""
        self._began = 0.0

    def begin(self, title: str) -> None:
        """End the step before, and begin another."""
        self.end()
        self._title, self._began = title, time.monotonic()
        self._status.update(f"{escape(title)} …")
        self._status.start()

    def end(self) -> None:
        """End the step."""
        self._status.stop()
        if self._title:
            seconds = time.monotonic() - self._began
            self._console.print(f"[green]✓[/] {escape(self._title)}  [dim]{seconds:.1f} s[/]", highlight=False)
        self._title = ""

    def abandon(self) -> None:
        """Stop the animation; the step did not end well."""
        self._status.stop()


class Demo:
    """One run of the demonstration."""

    def __init__(self, plan: Plan, load: Workload, console: Console, *, leave: bool) -> None:
        self._plan = plan
        self._load = load
        self._console = console
        self._leave = leave
        self._progress = Progress(console)
        self.wrong_answers = 0

    async def run(self) -> None:
        """Start, fill, measure, report, and stay until stopped."""
        stop_with_the_terminal()
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        options = StackOptions(database="shop", prepare=self._fill, environ=environ)
        with _LOG.open("w") as log:
            configure_logging(self._plan.process, service="standalone", process="demo", stream=log)
            self._progress.begin("starting Postgres and Valkey")
            try:
                async with running_stack(self._plan, options, Output(log, as_json=False).receive) as stack:
                    await self._measure(stack, Programs(log))
                    if not self._leave:
                        self._invite(stack)
                        await asyncio.Event().wait()
            except _STACK_WENT_AWAY as error:
                raise ProgramError(f"The stack failed during the demonstration: {error}") from error
            finally:
                self._progress.abandon()

    async def _measure(self, stack: Stack, programs: Programs) -> None:
        postgres = stack.supervisor.processes["postgres"]
        measured = await measure(stack.endpoints, postgres, self._load, programs, self._progress.begin)
        self._progress.end()
        report.show(self._console, self._load, measured)
        self.wrong_answers = measured.wrong_answers + len(measured.direct_verdict.wrong)

    async def _fill(self, upstream: Upstream) -> None:
        def on_step(step: shop.Step) -> None:
            self._progress.begin(f"shop: {f'{step.rows:,} ' if step.rows else ''}{step.title}")

        await shop.build(upstream.url, self._load.size, on_step)
        self._progress.begin("starting proxy, CDC service and invalidator")

    def _invite(self, stack: Stack) -> None:
        """Say how to play."""
        psql = shutil.which("psql") or str(installation() / "bin" / "psql")
        endpoints, processes = stack.endpoints, stack.supervisor.processes
        tidegate = Path(sys.executable).with_name("tidegate")
        stars = "SELECT rating, count(*) FROM reviews GROUP BY rating ORDER BY rating"
        lines = (
            ("[bold green]The stack is still up.[/] Put this into any program, it is Postgres:", ""),
            ("", f"  DATABASE_URL={endpoints.database_url}"),
            ("[bold]1.[/] Count all reviews twice; the second answer comes from the cache:", ""),
            ("", f"  {psql} '{endpoints.database_url}' -c '\\timing on' -c '{stars}' -c '{stars}'"),
            ("[bold]2.[/] Change a price directly in Postgres, and read it through Tidegate at once:", ""),
            ("", f"  {psql} '{endpoints.upstream_url}' -c 'UPDATE products SET price = price + 1 WHERE id = 1' && \\"),
            ("", f"  {psql} '{endpoints.database_url}' -c 'SELECT name, price FROM products WHERE id = 1'"),
            ("[bold]3.[/] Freeze the change stream, and do 2 again: every answer is still right, from Postgres:", ""),
            ("", f"  kill -STOP {processes['cdc']}      # and kill -CONT {processes['cdc']} to go on"),
            ("[bold]4.[/] Ask what is cached and what evicts it, see what evicts what, and what would help:", ""),
            ("", f"  export {look_inside(endpoints, database=True, redis=True).strip()}"),
            ("", f"  {tidegate} explain 'SELECT name, price FROM products WHERE id = 1'"),
            ("", f"  {tidegate} tail      # beside it, while you do 2"),
            ("", f"  {tidegate} check"),
        )
        self._console.print()
        for text, command in lines:
            if text:
                self._console.print(text, highlight=False)
            else:
                self._console.print(command, soft_wrap=True, highlight=False, markup=False)
        self._console.print(f"\n[dim]metrics: {endpoints.metrics_url}   log: {_LOG}   Ctrl-C stops everything.[/]")


def main(  # noqa: PLR0917 - the parameters are the options of the command line
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the report; exit code 1 if any answer was wrong.")
    ] = False,
    scale: Annotated[float, typer.Option(help="Size of the shop; 1 is 1.4 million rows.", min=0.001)] = 1.0,
    seconds: Annotated[float, typer.Option(help="How long to read, once direct and once through Tidegate.")] = 8.0,
    visitors: Annotated[int, typer.Option(help="How many read at once, each in a process of its own.", min=1)] = 4,
    reads: Annotated[float, typer.Option(help="Reads a second, all visitors together.", min=1)] = 800.0,
    changes: Annotated[float, typer.Option(help="Changes a second, directly in Postgres.", min=0.1)] = 5.0,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT of the proxy; another port when it is taken.")] = None,
    workers: Annotated[int, typer.Option(help="Proxy processes.", min=1)] = 1,
    max_staleness: Annotated[str, typer.Option(help="How old an answer may be.")] = "1s",
) -> None:
    """Show Tidegate at work in front of a shop with over a million rows."""
    console = Console()
    overrides = {
        "TIDEGATE_LISTEN": listen or "127.0.0.1:6432",
        "TIDEGATE_WORKERS": str(workers),
        "TIDEGATE_MAX_STALENESS": max_staleness,
        "TIDEGATE_LOG_FORMAT": "console",
        "TIDEGATE_TLS": "off",  # the embedded Postgres, which is measured beside it, has none either
    }
    _LOG.parent.mkdir(exist_ok=True)
    plan = make_plan({}, overrides)
    load = Workload(ShopSize.scaled(scale), seconds, visitors, reads, changes, plan.cache.max_staleness)
    demo = Demo(plan, load, console, leave=leave)
    try:
        run_until_stopped(demo.run, stop_seconds(plan))
    except Refusal as error:
        console.print(f"[bold red]✗[/] {escape(str(error))}\n[dim]More in {_LOG}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from error
    if demo.wrong_answers:
        raise typer.Exit(_EXIT_WRONG_ANSWER)


if __name__ == "__main__":
    typer.run(main)
