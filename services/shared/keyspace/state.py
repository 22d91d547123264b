"""What the bucket says of itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.shared.keyspace.cells import split_lsns, split_positions
from services.shared.keyspace.keys import SENTINEL
from services.shared.lsn import NO_LSN, Lsn, parse_sortable
from services.shared.position import START, Position

_NONCE_MARK = "#"


def bucket_epoch_text(stream_epoch: str, nonce: str) -> str:
    """Return a bucket epoch: its stream epoch stays readable, so that a proxy compares it with its own probe."""
    return f"{stream_epoch}{_NONCE_MARK}{nonce}"


def stream_epoch_of(bucket_epoch: str) -> str:
    """Return the stream epoch inside a bucket epoch; empty for the empty text."""
    return bucket_epoch.rpartition(_NONCE_MARK)[0]


@dataclass(frozen=True, slots=True)
class BucketState:
    """All of `m`, read at one moment.

    Attributes:
        bucket_epoch: `<stream epoch>#<nonce>`; empty when there is no bucket.
        owner: Whose bucket it is: `<system identifier>/<database OID>`.
        format: Layout and partition count, as `keys.format_text` writes them.
        positions: Applied position per partition.
        places: Where reading of the event log goes on, per partition.
        watermarks: w of the last watermark, per partition.
        settled: c of the last watermark, per partition.
        watermark: The least of the watermarks.
        highest_commit: Highest end LSN of a commit whose evictions are applied.
        floors: Position per partition below which nothing is known of evictions.
        registry_version: Random; another one after every registration.
        reason: Why the epoch began, for people.
    """

    bucket_epoch: str
    owner: str
    format: str
    positions: tuple[Position, ...]
    places: tuple[str, ...]
    watermarks: tuple[Lsn, ...]
    settled: tuple[Lsn, ...]
    watermark: Lsn
    highest_commit: Lsn
    floors: tuple[Position, ...]
    registry_version: str
    reason: str

    @property
    def stream_epoch(self) -> str:
        """Text of the stream epoch; empty when there is no bucket."""
        return stream_epoch_of(self.bucket_epoch)


def absent_bucket(partition_count: int) -> BucketState:
    """Return what is read when there is no bucket."""
    lsns = (NO_LSN,) * partition_count
    starts = (START,) * partition_count
    return BucketState("", "", "", starts, ("",) * partition_count, lsns, lsns, NO_LSN, NO_LSN, starts, "", "")


def parse_state(fields: Mapping[bytes, bytes], partition_count: int) -> BucketState:
    """Read the fields of `m`.

    Raises:
        ValueError: They are not what the scripts write.
    """
    if b"epoch" not in fields:
        return absent_bucket(partition_count)
    try:
        positions = split_positions(fields[b"positions"])
        return BucketState(
            bucket_epoch=fields[b"epoch"].decode(),
            owner=fields[b"owner"].decode(),
            format=fields[b"format"].decode(),
            positions=positions,
            places=tuple(fields[f"place:{partition}".encode()].decode() for partition in range(len(positions))),
            watermarks=split_lsns(fields[b"w"]),
            settled=split_lsns(fields[b"c"]),
            watermark=parse_sortable(fields[b"watermark"]),
            highest_commit=parse_sortable(fields[b"highest"]),
            floors=split_positions(fields[b"floors"]),
            registry_version=fields[b"registry"].decode(),
            reason=fields[b"reason"].decode(),
        )
    except KeyError as missing:
        raise ValueError(f"the bucket has no field {missing}") from missing


@dataclass(frozen=True, slots=True)
class Followed:
    """A relation whose changes are in the log.

    Attributes:
        publication_entry: OID of its row in pg_publication_rel.
        digest: Digest of its definition; a relation followed with another one is evicted as a whole.
    """

    publication_entry: int
    digest: str

    def __str__(self) -> str:
        return f"{self.publication_entry}:{self.digest}"


@dataclass(frozen=True, slots=True)
class EpochBegin:
    """Where a bucket epoch begins.

    Attributes:
        stream_epoch: Text of the stream epoch.
        owner: Whose bucket it is.
        positions: Position per partition that counts as applied, and is the floor.
        places: Where reading of the log goes on, per partition.
        reason: Why, for people.
        highest_commit: Up to here commits count as applied, for fills from a hot standby.
        followed: Relations known to be followed, beside those kept from the same stream epoch.
    """

    stream_epoch: str
    owner: str
    positions: tuple[Position, ...]
    places: tuple[str, ...]
    reason: str
    highest_commit: Lsn = NO_LSN
    followed: Mapping[int, Followed] | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """The bucket, its shapes and its followed relations, read at one moment.

    Attributes:
        state: The bucket.
        shapes: Shape id → position per partition from which on it is matched.
        followed: Relation → OID of its publication entry.
    """

    state: BucketState
    shapes: dict[str, tuple[Position, ...]]
    followed: dict[int, int]

    @property
    def version(self) -> str:
        """The registry version that these shapes stand for."""
        return self.state.registry_version


def parse_registry(
    partition_count: int, state: Mapping[bytes, bytes], shapes: Mapping[bytes, bytes], followed: Mapping[bytes, bytes]
) -> Registry:
    """Read the three hashes.

    Raises:
        ValueError: They are not what the scripts write.
    """
    return Registry(
        parse_state(state, partition_count),
        {name.decode(): split_positions(positions) for name, positions in shapes.items() if name != SENTINEL.encode()},
        {int(relation): int(value.partition(b":")[0]) for relation, value in followed.items()},
    )
