"""The values that events are made of, each with its form in JSON.

LSNs are written as Postgres writes them: people compare them with what `pg_stat_replication` shows them, and readers
that know only doubles do not damage their 64 bits.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

VERSION = 1
"""Version of all events; what would make an old reader misunderstand a new event makes a new one. See README.md."""


def _utc(time: datetime) -> datetime:
    """Normalise to UTC, so that every commit time ends in `Z`."""
    return time.astimezone(UTC)


Version = Annotated[Literal[1], Field(description="Version of this format.")]
CacheName = Annotated[str, Field(min_length=1, description="Name of the cache that the event belongs to.")]
EpochText = Annotated[
    str,
    Field(
        pattern=r"^[^/]+/[0-9]+/[^/]+/[^/]+/[^/]+/[^/]+$",
        description="Stream epoch: system identifier, database OID, timeline, canary, slot, identity of the log.",
    ),
]
LsnText = Annotated[
    str,
    Field(
        pattern=r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$",
        description="A place in the write-ahead log, as Postgres writes it.",
        examples=["16/B374D848"],
    ),
]
Incarnation = Annotated[
    LsnText, Field(description="Incarnation of the CDC service that wrote the event: the LSN of a record of its own.")
]
Ordinal = Annotated[
    int, Field(ge=0, description="Count of this event in its partition since the incarnation began; without gaps.")
]
Oid = Annotated[int, Field(ge=0, le=0xFFFFFFFF, description="Object identifier in the catalogs of Postgres.")]
TransactionId = Annotated[int, Field(ge=0, description="Top-level transaction id, widened to 64 bits.")]
CommitTime = Annotated[
    datetime,
    Field(description="When Postgres committed, by its own clock, in UTC. For people: no decision rests on it."),
    AfterValidator(_utc),
]
SchemaName = Annotated[
    str, Field(validation_alias="schema", serialization_alias="schema", description="Schema of the relation.")
]
TableName = Annotated[str, Field(description="Name of the relation, without its schema.")]
ColumnName = str
Identity = Annotated[
    Literal["default", "index", "full", "nothing"],
    Field(description="Replica identity: which columns of the old row Postgres gives."),
]
KeyColumns = Annotated[list[ColumnName], Field(description="Columns of the replica identity.")]


class Frozen(BaseModel):
    """A value that is never changed, has no fields but its own, and converts nothing on the way in."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    @classmethod
    def trusted(cls, fields: Mapping[str, Any]) -> Self:
        """Make a value without checking it, from fields that are known to be right.

        The same as `model_construct`, at a quarter of its cost: that goes through the fields one by one, in Python.

        Args:
            fields: By name, all but those that have a plain default.
        """
        value = cls.__new__(cls)
        _set(value, "__dict__", {**_template(cls), **fields})
        _set(value, "__pydantic_fields_set__", set(fields))
        _set(value, "__pydantic_extra__", None)
        _set(value, "__pydantic_private__", None)
        return value


_set = object.__setattr__  # a frozen model refuses its own


@cache
def _template(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's fields in their order, which is that of the JSON, with their defaults."""
    return {name: field.default for name, field in model.model_fields.items()}


class HashedValue(Frozen):
    """Stands for a column value that is too long to carry, or that the settings want hidden."""

    length: Annotated[int, Field(ge=0, description="Length of the value's text in bytes.")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the value's text.")]


ColumnValue = Annotated[
    str | HashedValue | None,
    Field(
        union_mode="left_to_right",  # a third faster than the default, and the three cannot be confused
        description="The value's text as pgoutput gives it; null for NULL; length and hash when over 256 bytes.",
    ),
]
Row = dict[ColumnName, ColumnValue]
