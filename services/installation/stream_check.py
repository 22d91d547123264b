"""Whether the CDC service can read what comes next in the change stream: looked at with its own decoder, from outside.

A service that meets what it cannot read gives its slot back and tries again later (`services.cdc.unreadable`); in
between the slot looks as if nobody were there. So what it would be sent is asked for here, without taking it.
"""

import asyncio

from services.cdc.control import ControlConnection
from services.cdc.errors import ControlError
from services.cdc.pgoutput.decoder import Decoder
from services.cdc.pgoutput.errors import PgoutputError
from services.cdc.replication.slot import SlotState
from services.cdc.replication.stream import stream_options
from services.cdc.unreadable import way_out
from services.shared.runtime.finding import Finding, Level
from services.shared.runtime.settings import CacheSettings

_PEEK_SECONDS = 3.0
"""How long Postgres may take to decode. A large transaction takes longer, and then nothing is said."""

_MESSAGES = 1_000  # what was not confirmed before is a few transactions

_PEEK = "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, $2::int, VARIADIC $3::text[]) LIMIT $2::int"


async def stream_findings(control: ControlConnection, cache: CacheSettings, slot: SlotState | None) -> list[Finding]:
    """Look at what stands next in the stream, if nobody reads it now and it can be asked for in time."""
    if slot is None or not slot.ours or slot.lost or slot.active_pid is not None:
        return []
    options = [part for option in stream_options(control.version, cache.publication).items() for part in option]
    try:
        async with asyncio.timeout(_PEEK_SECONDS):
            rows = await control.fetch(_PEEK, cache.slot, _MESSAGES, options)
    except (TimeoutError, ControlError):
        return []  # somebody has just taken the slot, or there is no publication, which is told elsewhere
    decoder = Decoder()
    try:
        for (message,) in rows:
            decoder.decode(message)
    except PgoutputError as error:
        text, remedy = way_out(cache.slot, error)
        return [Finding(Level.FAIL, "stream", text, remedy)]
    return []
