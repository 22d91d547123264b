"""`tidegate tail`: changes, evictions and watermarks of a cache, live and for people.

It only reads: the event log without a group, the eviction feed without a script. Nobody notices it.
"""

import asyncio
import json
import logging
import os
import sys
from typing import IO, TYPE_CHECKING, Annotated

import typer

from services.shared.runtime.command_line import cache_or_fail, fail, settings_or_fail
from services.shared.runtime.lifecycle import EXIT_REFUSED, EXIT_WRONG_USE, run_together, run_until_stopped
from services.shared.runtime.logging import configure_logging
from services.shared.runtime.redaction import mask_secrets
from services.shared.runtime.refusal import Refusal
from services.shared.runtime.settings import CacheSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from services.tail.line import Line
    from services.tail.story import Story, View

TICK_SECONDS = 0.25
"""How often to look for what is due without anything having come."""

MISSING_AFTER_SECONDS = 2.0
"""When to say that a table which was asked for is not known."""

_GRACE_SECONDS = 2.0


def tail(
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table: schema.table, or a name in any schema.")
    ] = None,
    *,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Only evictions of this tag, which `tidegate explain` tells for a statement."),
    ] = None,
    explained: Annotated[
        typer.FileText | None,
        typer.Option(
            "--explained", help="Only evictions of the tags in what `tidegate explain --json` prints; - reads it."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, every row with its values.")] = False,
    no_watermarks: Annotated[
        bool, typer.Option("--no-watermarks", help="Leave out how far log and cache are.")
    ] = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest record that is there.")
    ] = False,
    cache: Annotated[str | None, typer.Option("--cache", help="The cache, where there are several.")] = None,
) -> None:
    """Show changes, evictions and watermarks as they come; Ctrl-C ends it."""
    settings = settings_or_fail("tail")
    chosen = cache_or_fail("tail", settings, cache)
    quiet = settings.process.model_copy(update={"log_level": "error"})
    configure_logging(quiet, service="tail", process="tail")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it meets with is told in lines of our own
    from services.tail.render import Columns, json_text
    from services.tail.story import View
    from services.tail.tables import TableFilter
    from services.tail.values import HiddenColumns

    tables, hidden, tags = TableFilter(table or ()), HiddenColumns(chosen.hashed_columns), _tags(tag or (), explained)
    view = View(tables, hidden, not no_watermarks, every_row=as_json, tags=tags)
    write = json_text if as_json else Columns(coloured=_wants_colours())

    def show(lines: "list[Line]") -> None:
        for line in lines:
            sys.stdout.write(f"{write(line)}\n")
        if lines:
            sys.stdout.flush()

    try:
        run_until_stopped(lambda: _tail(chosen, view, show, from_beginning=from_beginning), _GRACE_SECONDS)
    except Refusal as refusal:
        fail("tail", mask_secrets(str(refusal)), EXIT_REFUSED)
    except BrokenPipeError:  # whoever read along has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at the end


async def _tail(
    cache: CacheSettings, view: "View", show: "Callable[[list[Line]], None]", *, from_beginning: bool
) -> None:
    from services.tail.audience import reader_is_gone
    from services.tail.dead_letter_reader import DeadLetterFollower
    from services.tail.feed_reader import FeedFollower
    from services.tail.log_reader import LogFollower

    story = _story(view, cache.partitions)
    log = LogFollower(cache, story, show, from_beginning=from_beginning)
    feed = FeedFollower(cache, story, show, from_beginning=from_beginning)
    dead = DeadLetterFollower(cache, story, show, from_beginning=from_beginning)

    async def feed_after_log() -> None:
        await log.ready.wait()  # it names the tables
        await feed.run()

    async def tick() -> None:
        await log.ready.wait()
        missing_at = asyncio.get_running_loop().time() + MISSING_AFTER_SECONDS
        told = not view.tables.is_narrow
        if not (from_beginning or view.every_row):
            show([story.hello(cache.name)])
        while True:
            if reader_is_gone():
                raise BrokenPipeError
            show(story.tick())
            if not told and asyncio.get_running_loop().time() >= missing_at:
                told = True
                show([story.note(f"no table {name} is in the log so far") for name in story.missing_tables()])
            await asyncio.sleep(TICK_SECONDS)

    await run_together({"log": log.run, "feed": feed_after_log, "dead": dead.run, "ticks": tick})


def _tags(tags: "Iterable[str]", explained: IO[str] | None) -> frozenset[str]:
    """Look at tags that somebody wrote, and take those of an explanation."""
    wanted = list(tags)
    for tag in wanted:
        relation, mark, rest = tag.partition(":")
        if not (relation.isdecimal() and mark and rest):
            reason = "a tag is a relation's OID, a colon and more, as tidegate explain tells it"
            fail("tail", f"--tag {tag}: {reason}", EXIT_WRONG_USE)
    if explained is not None:
        try:
            dependencies = json.loads(explained.read())["dependencies"]
            found = [tag["tag"] for dependency in dependencies for tag in dependency["tags"]]
        except (ValueError, LookupError, TypeError):
            fail("tail", "--explained: this is not what tidegate explain --json prints", EXIT_WRONG_USE)
        if not found or not all(found):
            reason = "it has no tags: is the statement cached, and is there a --param for each of its parameters?"
            fail("tail", f"--explained: {reason}", EXIT_WRONG_USE)
        wanted += found
    return frozenset(wanted)


def _story(view: "View", partition_count: int) -> "Story":
    import time
    from datetime import UTC, datetime

    from services.tail.story import Clock, Story

    return Story(view, partition_count, Clock(time.monotonic, lambda: datetime.now(UTC)))


def _wants_colours() -> bool:
    """Only on a terminal that takes them (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
