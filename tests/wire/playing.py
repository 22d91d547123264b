"""Play a stream to both sides, twice, and say what differs.

The order is direct, proxied (cold), direct again, proxied again (warm). What a stream writes stays for its second
playing, on both sides. Each playing ends with questions about the session itself: its prepared statements, cursors,
settings, locks. Afterwards both databases must hold the same.
"""

from dataclasses import dataclass

from services.shared.pgwire.frontend import CopyFail, Query, Sync
from tests.servers.settling import HITS
from tests.wire.connection import PlayingConnection
from tests.wire.notation import show_message
from tests.wire.stream import Step, Stream
from tests.wire.transcript import Transcript, difference, transcribe
from tests.wire.world import World

_MISSES = "tidegate_proxy_misses_total"
_PATIENCE = 10.0  # seconds; an answer that is later on the direct side is an error of the model of what is due

_LAST_QUESTIONS = (
    "SELECT name, statement, parameter_types::text, from_sql FROM pg_prepared_statements ORDER BY name",
    "SELECT name, is_holdable, statement FROM pg_cursors WHERE name <> '' ORDER BY name",
    "SELECT name, setting FROM pg_settings WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'bytea_output', "
    "'extra_float_digits', 'search_path', 'role', 'session_authorization', 'transaction_isolation', "
    "'transaction_read_only', 'transaction_deferrable', 'default_transaction_isolation', 'application_name', "
    "'default_transaction_read_only', 'client_encoding') ORDER BY name",
    "SELECT current_schemas(true)::text, current_user, session_user, current_setting('wire.own', true), "
    "pg_current_xact_id_if_assigned() IS NULL",
    "SELECT objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2",
    "SELECT channel FROM pg_listening_channels() channel ORDER BY 1",
)
_FAREWELL = (
    Step((CopyFail("the stream is over"), Sync())),
    Step((Query("; ".join(_LAST_QUESTIONS).encode()),)),
    Step((Query(b"COMMIT"),)),
)


class WrongModel(Exception):
    """Postgres itself did not say what was expected to be due: the stream cannot be judged."""


@dataclass(frozen=True, slots=True)
class Playing:
    """What came of playing a stream.

    Attributes:
        differences: What differs, as text; empty when nothing does.
        hits: How many reads the cache answered in the warm playing.
        misses: How many it could have answered then, but had to fetch.
    """

    differences: str
    hits: int
    misses: int


def play(world: World, stream: Stream, patience: float = _PATIENCE) -> Playing:
    """Play a stream to both sides.

    Args:
        world: Where.
        stream: What.
        patience: Seconds to wait for an answer that is due.

    Raises:
        WrongModel: Postgres itself fell silent.
    """
    world.begin_anew()
    found: list[str] = []
    hits = misses = 0
    for when in ("cold", "warm"):
        direct = _play_one(world, stream, patience, proxied=False)
        if any(transcript.silent for transcript in direct):
            shown = "\n".join(line for transcript in direct for line in transcript.all_lines())
            raise WrongModel(f"{show_stream(stream)}\n{shown}")
        if when == "warm":
            world.settle_wholly()
        hits_before, misses_before = world.count(*HITS), world.count(_MISSES)
        proxied = _play_one(world, stream, patience, proxied=True)
        hits, misses = world.count(*HITS) - hits_before, world.count(_MISSES) - misses_before
        unequal = difference(direct, proxied) or world.difference()
        if unequal:
            found.append(f"{when}:\n{unequal}")
            break
    return Playing("\n".join(found), hits, misses)


def show_stream(stream: Stream) -> str:
    """Return a stream as indented lines."""
    lines = [f"begun with {stream.startup}"] if stream.startup else []
    for number, step in enumerate(stream.steps):
        marks = [f"connection {step.on}"] if stream.connections > 1 else []
        marks += ["ahead"] if step.ahead else []
        marks += ["settled before"] if step.settled else []
        marks += [f"cut at {step.cuts}"] if step.cuts else []
        lines.append(f"step {number}{': ' if marks else ''}{', '.join(marks)}")
        lines += [f"    {show_message(message)}" for message in step.messages]
    return "\n".join(lines)


def _play_one(world: World, stream: Stream, patience: float, *, proxied: bool) -> list[Transcript]:
    url = world.cached_url if proxied else world.direct_url
    connections = [
        PlayingConnection(url, stream.startup if number == 0 else (), patience) for number in range(stream.connections)
    ]
    speaker = 0
    for step in stream.steps:
        if step.on != speaker:
            connections[speaker].catch_up()
        if proxied and step.settled:
            world.settle_wholly()
        elif proxied and step.on != speaker:
            world.settle()
        speaker = step.on
        connections[step.on].play(step)
    closed = []
    for connection in connections:
        connection.catch_up()
        closed.append(connection.ended)
        for step in _FAREWELL:
            connection.play(step)
    for connection in connections:
        connection.leave()
    pids = [connection.pid for connection in connections]
    world.wait_gone(pids)
    return [
        transcribe(connection.heard, pids, number, ended=ended, silent=connection.silent)
        for number, (connection, ended) in enumerate(zip(connections, closed, strict=True))
    ]
