"""A new history begins."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import CacheName, EpochText, Frozen, Incarnation, Ordinal, Version


class EpochStart(Frozen):
    """First event of a stream epoch in each partition, at k = 0: nothing cached before it may be used after it."""

    kind: Literal["epoch"] = "epoch"
    reason: Annotated[str, Field(description="Why, in words, for people and metrics.")]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
