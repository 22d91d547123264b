"""The models as JSON Schema documents, for readers in other languages."""

import json

from schemas.encoding import EVENT_TYPES, Event
from schemas.fields import VERSION


def documents() -> dict[str, str]:
    """Return the text of every generated file by its name, such as `changes.v1.json`."""
    return {f"{_kind(event_type)}.v{VERSION}.json": _document(event_type) for event_type in EVENT_TYPES}


def _kind(event_type: type[Event]) -> str:
    return str(event_type.model_fields["kind"].default)


def _document(event_type: type[Event]) -> str:
    schema = event_type.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
