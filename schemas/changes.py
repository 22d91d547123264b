"""What one committed transaction did to one relation.

A transaction that touched three relations makes three of these; one that changed much makes several *parts* a relation,
and only the last says `last`. What a person looks for stands first, what machines need for ordering last.
"""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import (
    CacheName,
    ColumnName,
    CommitTime,
    EpochText,
    Frozen,
    Identity,
    Incarnation,
    KeyColumns,
    LsnText,
    Oid,
    Ordinal,
    Row,
    SchemaName,
    TableName,
    TransactionId,
    Version,
)


class RowChange(Frozen):
    """One row before and after."""

    op: Annotated[Literal["insert", "update", "delete"], Field(description="What happened to the row.")]
    key: Annotated[
        Row | None,
        Field(description="The replica identity's columns, of the new row where there is one; null when unknown."),
    ]
    changed: Annotated[
        list[ColumnName],
        Field(description="Columns known to differ. For an update whose old row is not given: all that may differ."),
    ]
    old: Annotated[
        Row | None, Field(description="What the replica identity gave of the row before; null when it gave nothing.")
    ] = None
    new: Annotated[Row | None, Field(description="The row after; null for a delete.")] = None
    unchanged_toast: list[ColumnName] = Field(
        default_factory=list,
        description="Columns that did not change and are too long for Postgres to send; absent from `new`.",
    )


class Changes(Frozen):
    """The changes of one transaction to one relation, or one part of them."""

    kind: Literal["changes"] = "changes"
    schema_name: SchemaName
    table: TableName
    commit_lsn: Annotated[LsnText, Field(description="LSN of the commit record.")]
    xid: TransactionId
    commit_time: CommitTime
    rows: Annotated[list[RowChange], Field(description="The rows, in the order in which the transaction changed them.")]
    part: Annotated[int, Field(ge=0, description="Which part of the transaction's changes to this relation, from 0.")]
    last: Annotated[bool, Field(description="Whether no further part follows.")]
    relation: Oid
    identity: Identity
    key_columns: KeyColumns
    end_lsn: Annotated[LsnText, Field(description="LSN just after the commit record.")]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
