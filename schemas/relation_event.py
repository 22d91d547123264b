"""Something happened to a whole relation."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import (
    CacheName,
    CommitTime,
    EpochText,
    Frozen,
    Incarnation,
    LsnText,
    Oid,
    Ordinal,
    SchemaName,
    TableName,
    TransactionId,
    Version,
)


class RelationWide(Frozen):
    """A change that concerns every row of a relation: all that depends on it is evicted."""

    kind: Literal["relation"] = "relation"
    schema_name: SchemaName
    table: TableName
    op: Annotated[
        Literal["truncate", "bulk", "ddl", "unfollowed"],
        Field(
            description="truncate: TRUNCATE; bulk: more rows than are worth naming; ddl: its definition changed; "
            "unfollowed: its changes are no longer published, so nothing of it may be cached."
        ),
    ]
    commit_lsn: Annotated[LsnText, Field(description="LSN of the commit record.")]
    xid: TransactionId
    commit_time: CommitTime
    relation: Oid
    end_lsn: Annotated[LsnText, Field(description="LSN just after the commit record.")]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
