"""What a person reads when the stack is up: what to put into DATABASE_URL, and what runs where."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.shared.runtime.quantities import format_duration
from services.shared.runtime.upstream import parse_upstream
from services.standalone.stack import Stack


def show(console: Console, stack: Stack, ready_file: Path | None) -> None:
    """Print it.

    The password of a given database is not repeated; that of the embedded one is known from nowhere else.
    """
    plan, endpoints = stack.plan, stack.endpoints
    through_proxy = parse_upstream(endpoints.database_url)
    upstream = parse_upstream(endpoints.upstream_url)
    shown = through_proxy.url if plan.embed_postgres else through_proxy.masked_url
    for warning in stack.warnings:
        console.print(f"[yellow]note[/]  {escape(warning)}", highlight=False)
    if stack.listen.moved:
        console.print(
            f"[yellow]note[/]  {stack.listen.wanted} is taken, so the proxy listens on {stack.listen.address}",
            highlight=False,
        )
    console.print()
    console.print("[bold green]Tidegate is up.[/] Use this, and change nothing else:", highlight=False)
    console.print()
    console.print(f"  DATABASE_URL={shown}", soft_wrap=True, highlight=False, markup=False, style="bold")
    console.print()
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    direct = upstream.url if plan.embed_postgres else upstream.masked_url
    table.add_row("Postgres", f"{escape(direct)}{' (embedded)' if plan.embed_postgres else ''}")
    table.add_row("Redis", f"{escape(_place(endpoints.redis_url))}{' (embedded)' if plan.embed_redis else ''}")
    table.add_row("event log", escape(endpoints.event_log))
    table.add_row("metrics", escape(endpoints.metrics_url))
    table.add_row(
        "freshness", f"{plan.cache.consistency}, never staler than {format_duration(plan.cache.max_staleness)}"
    )
    table.add_row("processes", ", ".join(f"{name} {pid}" for name, pid in stack.supervisor.processes.items()))
    if ready_file is not None:
        table.add_row("ready file", escape(str(ready_file)))
    console.print(table, highlight=False)
    console.print()
    console.print("[dim]Ctrl-C stops everything.[/]", highlight=False)


def _place(url: str) -> str:
    """Return a Redis URL without its password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
