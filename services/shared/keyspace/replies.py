"""What the scripts and the streams reply, read into values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.shared.keyspace.cells import split_positions
from services.shared.keyspace.entry import StoredEntry, parse_entry, split_names
from services.shared.keyspace.outcome import Refusal
from services.shared.position import Position

_ENTRY_START, _ENTRY_END = 4, 10  # of a hit's fields; before them what every reply has, after them matched-from


@dataclass(frozen=True, slots=True)
class EntryHit:
    """A valid entry; of the same moment the bucket's epoch and positions, and from where its shapes are matched."""

    entry: StoredEntry
    bucket_epoch: str
    positions: tuple[Position, ...]
    registry_version: str
    matched_from: dict[str, tuple[Position, ...]]


@dataclass(frozen=True, slots=True)
class ReadMiss:
    """No valid entry, and why."""

    reason: Refusal
    bucket_epoch: str
    positions: tuple[Position, ...]
    registry_version: str


ReadReply = EntryHit | ReadMiss


def parse_read(reply: Sequence[bytes]) -> ReadReply:
    """Read a reply of READ.

    Raises:
        ValueError: It is none.
    """
    epoch, positions, version = reply[1].decode(), split_positions(reply[2]), reply[3].decode()
    reason = Refusal(reply[0].decode())
    if reason:
        return ReadMiss(reason, epoch, positions, version)
    fields = reply[_ENTRY_START:_ENTRY_END]
    entry = parse_entry(*fields)
    matched = map(split_positions, reply[_ENTRY_END:])
    return EntryHit(entry, epoch, positions, version, dict(zip(split_names(fields[3]), matched, strict=True)))


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Read a hash, which a script returns as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def streams_of(reply: Any) -> list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    """Level the forms that a reply to XREAD has: in RESP2 pairs, in RESP3 a mapping, its entries nested once more."""
    if not reply:
        return []
    if isinstance(reply, Mapping):
        return [(key, [entry for part in parts for entry in part]) for key, parts in reply.items()]
    return [(key, entries) for key, entries in reply]
