"""What a person reads when the stack is up: what to put into DATABASE_URL, and what runs where."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from services.shared.redis_address import parse_redis_url
from services.shared.runtime.quantities import format_duration
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.upstream import parse_upstream
from services.standalone.ready_file import Endpoints
from services.standalone.stack import Stack

_NAME_WIDTH = 12  # of the longest name below, and a gap


def show(console: Console, stack: Stack, ready_file: Path | None) -> None:
    """Print it.

    The passwords of a given database and Redis are not repeated; those of embedded ones are known from nowhere else.
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
    direct = upstream.url if plan.embed_postgres else upstream.masked_url
    facts = {
        "Postgres": f"{direct}{' (embedded)' if plan.embed_postgres else ''}",
        "Redis": f"{endpoints.redis_url} (embedded)" if plan.embed_redis else _place(endpoints.redis_url),
        "event log": mask_secrets(endpoints.event_log),
        "metrics": endpoints.metrics_url,
        "freshness": f"{plan.cache.consistency}, never staler than {format_duration(plan.cache.max_staleness)}",
        "processes": ", ".join(f"{name} {pid}" for name, pid in stack.supervisor.processes.items()),
    } | ({} if ready_file is None else {"ready file": str(ready_file)})
    for name, value in facts.items():
        console.print(f"[dim]{name:<{_NAME_WIDTH}}[/]{escape(value)}", soft_wrap=True, highlight=False)
    console.print()
    settings = look_inside(endpoints, database=plan.embed_postgres, redis=plan.embed_redis)
    what = "what is cached and why not, what evicts it, what would help:"
    console.print(f"[dim]{what}[/]", highlight=False)
    console.print(
        f"  {settings}tidegate explain 'SELECT …'   # tail, check", soft_wrap=True, highlight=False, markup=False
    )
    console.print()
    console.print("[dim]Ctrl-C stops everything.[/]", highlight=False)


def look_inside(endpoints: Endpoints, *, database: bool, redis: bool) -> str:
    """Return what is to stand before a command that is to find this stack: settings that it cannot know otherwise.

    Args:
        endpoints: Where everything is.
        database: Whether that of the database is wanted.
        redis: Whether that of Redis is.
    """
    found = f"TIDEGATE_DATABASE_URL='{endpoints.upstream_url}' " if database else ""
    return found + (f"TIDEGATE_REDIS_URL='{endpoints.redis_url}' " if redis else "")


def _place(url: str) -> str:
    """Return where a Redis is, without anything secret."""
    return parse_redis_url(url).place
