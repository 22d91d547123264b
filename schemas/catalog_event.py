"""Something in the catalog has changed."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import (
    CacheName,
    CommitTime,
    EpochText,
    Frozen,
    Incarnation,
    LsnText,
    Ordinal,
    TransactionId,
    Version,
)


class CatalogChange(Frozen):
    """A transaction ran DDL, GRANT or the like: whoever rests on the catalog reads it again before going on."""

    kind: Literal["catalog"] = "catalog"
    commit_lsn: Annotated[LsnText, Field(description="LSN of the commit record.")]
    xid: TransactionId
    commit_time: CommitTime
    end_lsn: Annotated[LsnText, Field(description="LSN just after the commit record.")]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
