"""Events as bytes: one line of compact JSON each, the fields in the order in which the models declare them.

JSON because whoever debugs a cache reads the topic with the tools that they have; written and read by pydantic's
compiled core, because tens of thousands of rows a second pass through here.
"""

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from schemas.catalog_event import CatalogChange
from schemas.changes import Changes
from schemas.epoch import EpochStart
from schemas.relation_event import RelationWide
from schemas.relation_schema import RelationSchema
from schemas.resume import Resume
from schemas.watermark import Watermark

Event = Changes | RelationWide | CatalogChange | RelationSchema | Watermark | Resume | EpochStart

EVENT_TYPES: tuple[type[Event], ...] = (
    Changes,
    RelationWide,
    CatalogChange,
    RelationSchema,
    Watermark,
    Resume,
    EpochStart,
)
"""Every kind of event, in the order in which the documentation lists them."""

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


class SchemaError(ValueError):
    """The bytes are not an event of a kind and version that this program knows. The text quotes no values."""


def encode(event: Event) -> bytes:
    """Write an event as one line of JSON in UTF-8."""
    return event.__pydantic_serializer__.to_json(event)


def decode(data: bytes) -> Event:
    """Read what `encode` wrote.

    Raises:
        SchemaError: The bytes are not JSON, or not exactly an event of version 1.
    """
    try:
        return _ADAPTER.validate_json(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SchemaError(_describe(error)) from None


def _describe(error: ValidationError) -> str:
    """Name the fields that are wrong and why, without the values, which may be an application's data."""
    faults = (
        f"{'.'.join(str(part) for part in fault['loc']) or 'event'}: {fault['type']}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    )
    return f"not an event: {'; '.join(faults)}"
