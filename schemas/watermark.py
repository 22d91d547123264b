"""How far the change stream is complete."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import CacheName, EpochText, Frozen, Incarnation, LsnText, Ordinal, Version


class Watermark(Frozen):
    """Everything visible below `watermark` stands ahead of this event in its partition (consistency contract, 4.5)."""

    kind: Literal["watermark"] = "watermark"
    watermark: Annotated[
        LsnText, Field(description="w: a probe's LSN below this is covered. One above an LSN, or an LSN.")
    ]
    settled: Annotated[
        LsnText, Field(description="c: every transaction up to here has been published, whether visible or not.")
    ]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
