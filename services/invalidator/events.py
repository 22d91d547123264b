"""What an event means for the chain and for the bucket. Pure."""

from hashlib import blake2b

from schemas.catalog_event import CatalogChange
from schemas.changes import Changes
from schemas.encoding import Event
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from services.shared.epoch import StreamEpoch
from services.shared.eventlog.chain import Link, LinkKind
from services.shared.keyspace.state import Followed
from services.shared.lsn import NO_LSN, Lsn, parse_lsn
from services.shared.position import Position

_DIGEST_BYTES = 8


def position_of(event: Event) -> Position:
    """Return an event's position in its partition.

    Raises:
        ValueError: Its incarnation is no LSN.
    """
    return Position(parse_lsn(event.incarnation), event.k)


def link_of(event: Event) -> Link:
    """Return what the chain looks at.

    Raises:
        ValueError: One of its LSNs is none.
    """
    position = position_of(event)
    if isinstance(event, Resume):
        return Link(event.epoch, position, LinkKind.RESUME, parse_lsn(event.resume_from))
    kind = LinkKind.EPOCH if isinstance(event, EpochStart) else LinkKind.OTHER
    return Link(event.epoch, position, kind)


def end_of(event: Event) -> Lsn:
    """Return the end of the commit that an event is of; zero for other events."""
    return parse_lsn(event.end_lsn) if isinstance(event, Changes | RelationWide | CatalogChange) else NO_LSN


def followed_by(event: RelationSchema) -> Followed:
    """Return how a relation is followed from its description on."""
    text = repr(([(column.name, column.type_oid) for column in event.columns], event.identity, event.key_columns))
    return Followed(event.publication_entry, blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest())


def owner_of(stream_epoch: str) -> str:
    """Return whose a bucket is that follows a stream epoch: the database's.

    Raises:
        ValueError: The text is no stream epoch.
    """
    epoch = StreamEpoch.parse(stream_epoch)
    return f"{epoch.system}/{epoch.database}"
