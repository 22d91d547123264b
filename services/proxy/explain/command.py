"""The command `tidegate explain`."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from services.shared.runtime.command_line import cache_or_fail, fail, settings_or_fail
from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.settings import CacheSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.proxy.explain.explanation import Explanation

_PURPOSE = "explain"


def explain(
    statement: Annotated[str, typer.Argument(help="The statement; - reads it from standard input.")],
    *,
    search_path: Annotated[
        str, typer.Option("--search-path", help="Where names without a schema are looked up.")
    ] = '"$user", public',
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="VALUE", help="The value of $1, as text; again for $2, and so on."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    cache: Annotated[str | None, typer.Option("--cache", help="The cache, where there are several.")] = None,
) -> None:
    """Say whether a statement is cached, why not, what evicts its answer, and what would make that narrower."""
    from services.proxy.audit.listing import held_back
    from services.proxy.control import CONTROL_ERRORS
    from services.proxy.explain.explanation import lines

    settings = cache_or_fail("explain", settings_or_fail("explain"), cache)
    text = sys.stdin.read() if statement == "-" else statement
    try:
        explanation = held_back(asyncio.run(_explain(settings, text, search_path, param or [])), settings)
    except CONTROL_ERRORS as error:
        fail(
            "explain", mask_secrets(f"the database did not answer: {str(error) or type(error).__name__}"), EXIT_REFUSED
        )
    if param and len(param) != explanation.parameters:
        there = "1 parameter" if explanation.parameters == 1 else f"{explanation.parameters or 'no'} parameters"
        fail("explain", f"the statement has {there}, and {len(param)} values were given by --param", EXIT_WRONG_USE)
    if as_json:
        typer.echo(json.dumps(asdict(explanation), indent=2, ensure_ascii=False))
        return
    for line in lines(explanation):
        typer.echo(line)


async def _explain(settings: CacheSettings, text: str, search_path: str, parameters: "Sequence[str]") -> "Explanation":
    from services.proxy.control import ConnectControl
    from services.proxy.explain import explanation
    from services.proxy.explain.identity_indexes import read_indexes
    from services.proxy.sql.catalog import load_catalog
    from services.proxy.sql.statement import NameSpace

    connection = await ConnectControl(settings.upstream, "tidegate")(_PURPOSE)
    try:
        catalog = await load_catalog(connection, settings.publication)
        indexes = await read_indexes(connection)
        await connection.execute("SELECT pg_catalog.set_config('search_path', $1, false)", search_path)
        schemas = await connection.fetchval("SELECT pg_catalog.current_schemas(true)")
    finally:
        connection.terminate()
    return explanation.explain(text, catalog, NameSpace(tuple(schemas)), settings.ageing_ttl, parameters, indexes)
