"""A new incarnation of the CDC service goes on with the stream epoch."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import CacheName, EpochText, Frozen, Incarnation, LsnText, Ordinal, Version


class Resume(Frozen):
    """First event of an incarnation in each partition, at k = 0: decoding began at `resume_from`."""

    kind: Literal["resume"] = "resume"
    resume_from: Annotated[
        LsnText,
        Field(description="F: where decoding began. A reader whose last settled LSN is below has missed something."),
    ]
    cache: CacheName
    epoch: EpochText
    incarnation: Incarnation
    k: Ordinal
    version: Version = 1
