"""Decoding alone: from the replication socket to assembled transactions, as the CDC service does it, without a log.

In a process of its own, as the service is.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass

import uvloop

from services.cdc.pgoutput.decoder import Decoder
from services.cdc.replication.frames import Keepalive
from services.cdc.replication.stream import ReplicationConnection
from services.cdc.transactions import Assembler, Bounds
from services.shared.lsn import NO_LSN, Lsn
from services.shared.runtime.garbage import collect_seldom
from services.shared.runtime.upstream import parse_upstream

_LONGEST_SECONDS = 300.0
_FRAMES_AT_ONCE = 2_000  # as the relay takes them


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was read, and how long that took, with connecting."""

    transactions: int
    rows: int
    seconds: float


def decode(url: str, slot: str, publication: str, until: Lsn) -> Decoded:
    """Read a slot up to an LSN."""
    command = [sys.executable, "-m", "benchmarks.decoding", url, slot, publication, str(until)]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_LONGEST_SECONDS)
    return Decoded(*json.loads(told.stdout))


def main() -> None:
    """Read a slot, and print what `Decoded` holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding")
    for name in ("url", "slot", "publication"):
        parser.add_argument(name)
    parser.add_argument("until", type=int)
    arguments = parser.parse_args()
    collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        decoded = runner.run(_decode(arguments.url, arguments.slot, arguments.publication, Lsn(arguments.until)))
    print(json.dumps([decoded.transactions, decoded.rows, decoded.seconds]))


async def _decode(url: str, slot: str, publication: str, until: Lsn) -> Decoded:
    began = time.perf_counter()
    connection = await ReplicationConnection.open(parse_upstream(url), "tidegate-bench")
    await connection.start(slot, publication)
    decoder, assembler = Decoder(), Assembler(Bounds())
    transactions = rows = 0
    delivered = NO_LSN
    while delivered < until:
        frames, more = connection.receive(_FRAMES_AT_ONCE)
        for frame in frames:
            if isinstance(frame, Keepalive):
                delivered = max(delivered, frame.wal_end)
                continue
            if assembler.wide and decoder.row_relation(frame.payload) in assembler.wide:
                continue
            transaction = assembler.feed(decoder.decode(frame.payload), len(frame.payload))
            if transaction is not None:
                delivered = max(delivered, transaction.end_lsn)
                transactions += bool(transaction.changes)
                rows += sum(len(changes.rows) for changes in transaction.changes)
        if not more and delivered < until:
            readable = asyncio.Event()
            connection.watch(readable.set)
            await readable.wait()
    seconds = time.perf_counter() - began
    await connection.close()
    return Decoded(transactions, rows, seconds)


if __name__ == "__main__":
    main()
