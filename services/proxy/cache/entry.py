"""An answer as the cache keeps it: three slices of wire bytes, and what they depend on.

ParseComplete, BindComplete and ReadyForQuery belong to the turn that asked, and the transaction status byte is no part
of an answer, so an entry keeps only RowDescription, the DataRows and CommandComplete.
"""

import struct
from math import inf
from typing import NamedTuple

from services.proxy.admission.economy import Tally
from services.proxy.cache.named_rows import NamedRows
from services.proxy.session.follow_up import FollowUp
from services.shared.position import Position

_LENGTHS = struct.Struct(">II")
_SENT_AT = struct.Struct(">d")
NO_TALLY = Tally()  # of what is nobody's

# Of memory, measured (tests/unit/proxy/test_entry_memory.py), rounded up:
_ENTRY_BYTES = 570  # an Entry, its Answer, their slices' headers, its key and its cell in a queue
_TAG_BYTES = 170  # a tag's text but for its letters, its cell in the index, and its share of a set
_RELATION_BYTES = 60  # a cell in the set of a relation's entries
_NAMED_BYTES = 450  # NamedRows of one column and one value
_REPLY_BYTES = 290  # a Reply, its payload's and key's headers, and its cell in a session's table
_PLACE_BYTES = 100  # a second key's header, and its cell


class Answer(NamedTuple):
    """The wire bytes of one answer. `description` is empty where the client did not ask for it."""

    description: bytes
    rows: bytes
    complete: bytes

    def encode(self) -> bytes:
        """Write the answer as one byte string, for L2."""
        return b"".join(
            (_LENGTHS.pack(len(self.description), len(self.rows)), self.description, self.rows, self.complete)
        )

    @classmethod
    def decode(cls, body: bytes) -> "Answer":
        """Read what `encode` wrote.

        Raises:
            ValueError: The body is cut short.
        """
        if len(body) < _LENGTHS.size:
            raise ValueError("an entry's body is cut short")
        description_length, rows_length = _LENGTHS.unpack_from(body)
        rows_start = _LENGTHS.size + description_length
        complete_start = rows_start + rows_length
        if complete_start > len(body):
            raise ValueError("an entry's body is cut short")
        return cls(body[_LENGTHS.size : rows_start], body[rows_start:complete_start], body[complete_start:])


def encode_ageing(answer: Answer, sent_at: float) -> bytes:
    """Write an answer that ages for L2, with the boot-clock second before its query was sent."""
    return _SENT_AT.pack(sent_at) + answer.encode()


def decode_ageing(body: bytes) -> tuple[Answer, float]:
    """Read what `encode_ageing` wrote.

    Raises:
        ValueError: The body is cut short.
    """
    if len(body) < _SENT_AT.size:
        raise ValueError("an entry's body is cut short")
    (sent_at,) = _SENT_AT.unpack_from(body)
    return Answer.decode(body[_SENT_AT.size :]), float(sent_at)


class Entry:
    """A live answer in L1.

    Attributes:
        at: Position, per partition, from which on the feed has to be heeded: evictions up to it are already in the
        answer.
        live: False once evicted; a reply that still points here must not be served.
        hits: How often it was served; counted by whoever serves it.
        hits_seen: How many of those have counted when it was decided who has to go (`s3fifo`).
        displaced: It had to make room in this worker, and nothing is wrong with it otherwise.
        sent_at: Boot-clock second before its query was sent, of one that ages; of others it is of no interest.
        expires_at: Boot-clock second from which on it is not served.
        next_probe: Number of the probe that was to be sent next when it was taken: later ones were sent after that.
        template: Text of the template that it answers.
        tally: Where its hits and its eviction are counted, for its template.
        replies: Ready-made wire replies built from this entry; they leave their tables when it dies.
        size: What it takes with all that, in bytes, by estimate.
    """

    __slots__ = (
        "answer",
        "at",
        "displaced",
        "expires_at",
        "hits",
        "hits_seen",
        "key",
        "live",
        "next_probe",
        "relations",
        "replies",
        "sent_at",
        "shapes",
        "size",
        "tags",
        "tally",
        "template",
    )

    def __init__(
        self,
        key: bytes,
        answer: Answer,
        at: tuple[Position, ...],
        tags: tuple[str, ...],
        relations: tuple[int, ...],
        shapes: tuple[str, ...],
        expires_at: float,
    ) -> None:
        self.key = key
        self.answer = answer
        self.at = at
        self.tags = tags
        self.relations = relations
        self.shapes = shapes
        self.expires_at = expires_at
        self.sent_at = 0.0
        self.next_probe = 0
        self.live = True
        self.displaced = False
        self.hits = 0
        self.hits_seen = 0
        self.template = ""
        self.tally = NO_TALLY
        self.replies: tuple[Reply, ...] = ()
        self.size = (
            _ENTRY_BYTES
            + len(answer.description)
            + len(answer.rows)
            + len(answer.complete)
            + _TAG_BYTES * len(tags)
            + sum(map(len, tags))
            + _RELATION_BYTES * len(relations)
        )


ALWAYS_LIVE = Entry(b"", Answer(b"", b"", b""), (), (), (), (), inf)
"""Stands for the entry of a reply that rests on none: to a BEGIN that is held back, and to its end."""


_NOWHERE: "dict[bytes, Reply]" = {}


class Reply:
    """The whole wire answer to one exact turn, ready to be written: what the hot path finds.

    Attributes:
        payload: Everything from ParseComplete to ReadyForQuery.
        reads: How many answers are in it.
        follow_up: What the session has to note; None: nothing.
        tally: Its entry's.
        expires_at: Boot-clock second from which on it is not served: where the answer ages, by what this turn asks.
        ages: Whether it does.
        looked_at: The rows that it rests on; None where they may be any, or nobody needed to know.
        bind_rest: How many bytes of its turn's Bind stand behind the statement's name, where it is found by these.
        table: Where it is found; empty before it is kept.
        turn: By what.
        also: Where else it is found; empty where it is not.
        also_turn: By what there.
    """

    # fmt: off
    __slots__ = (
        "ages", "also", "also_turn", "bind_rest", "entry", "expires_at", "follow_up", "looked_at", "payload", "reads",
        "table", "tally", "turn",
    )
    # fmt: on

    def __init__(
        self, entry: Entry, payload: bytes, follow_up: FollowUp | None, reads: int = 1, ttl: float = inf
    ) -> None:
        self.entry = entry
        self.tally = entry.tally
        self.expires_at = min(entry.expires_at, entry.sent_at + ttl)
        self.ages = ttl != inf
        self.payload = payload
        self.follow_up = follow_up
        self.reads = reads
        self.looked_at: tuple[NamedRows, ...] | None = None
        self.bind_rest = 0
        self.table = self.also = _NOWHERE
        self.turn = self.also_turn = b""

    @property
    def size(self) -> int:
        """What it takes, in bytes, by estimate."""
        size = _REPLY_BYTES + len(self.turn) + len(self.payload)
        if self.also_turn:
            size += _PLACE_BYTES + len(self.also_turn)
        return size if self.looked_at is None else size + _NAMED_BYTES * len(self.looked_at)
