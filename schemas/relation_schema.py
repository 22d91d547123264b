"""What a relation looks like, written before its first use and whenever that changes."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import (
    CacheName,
    ColumnName,
    EpochText,
    Frozen,
    Identity,
    Incarnation,
    KeyColumns,
    Oid,
    Ordinal,
    SchemaName,
    TableName,
    Version,
)


class Column(Frozen):
    """A column as Postgres publishes it."""

    name: Annotated[ColumnName, Field(description="Name of the column.")]
    type_oid: Annotated[Oid, Field(description="OID of its type.")]


class RelationSchema(Frozen):
    """From here on the relation is followed: what depends on it may be cached, until it is `unfollowed`."""

    kind: Literal["schema"] = "schema"
    schema_name: SchemaName
    table: TableName
    columns: Annotated[list[Column], Field(description="The published columns, in the table's order.")]
    identity: Identity
    key_columns: KeyColumns
    relation: Oid
    publication_entry: Annotated[
        Oid,
        Field(
            description="OID of its row in pg_publication_rel; of a table that has rows in partitions or children, a "
            "digest of theirs."
        ),
    ]
    ancestors: Annotated[
        list[Oid],
        Field(description="OIDs of the tables that it is a part of: its changes are told under their names too."),
    ]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
