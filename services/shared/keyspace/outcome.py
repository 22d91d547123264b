"""What the scripts answer: the names are the texts in Lua."""

from enum import StrEnum


class Refusal(StrEnum):
    """Why an entry was not given or not taken."""

    NONE = ""  # it was given, or taken
    NO_BUCKET = "no_bucket"  # nothing is there: no invalidator has made the bucket yet
    OTHER_EPOCH = "other_epoch"
    OTHER_FORMAT = "other_format"
    NO_WATERMARK = "no_watermark"  # the birth barrier of the epoch has not passed
    ABSENT = "absent"
    BELOW_FLOOR = "below_floor"  # older than what is known of evictions
    BEYOND_BUCKET = "beyond_bucket"  # the bucket went back in time
    SHAPE_NOT_REGISTERED = "shape_not_registered"
    SHAPE_REGISTERED_LATER = "shape_registered_later"
    NOT_FOLLOWED = "not_followed"  # a relation's changes are not in the log
    EVICTED = "evicted"
    EVICTIONS_LOST = "evictions_lost"  # somebody deleted a key of the bucket
    OUT_OF_MEMORY = "out_of_memory"


class Outcome(StrEnum):
    """What became of a step that the invalidator wanted to take."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"  # the bucket is already there: no effect
    REWIND = "rewind"  # the bucket is elsewhere than the step's predecessor: read on from its place
    RELOAD = "reload"  # planned with other shapes than those registered: plan anew
    OTHER_EPOCH = "other_epoch"  # somebody else started an epoch, or everything is gone
    GAP = "gap"  # a RESUME that does not join on to what was applied
    TOO_EARLY = "too_early"  # a rotation that is not due
    EVICTIONS_LOST = "evictions_lost"  # a key of the bucket was deleted
