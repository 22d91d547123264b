"""Why a bucket epoch begins, and why the invalidator may not go on."""

from enum import StrEnum


class EpochReason(StrEnum):
    """Why a bucket epoch begins. Few, because they label a metric."""

    NO_BUCKET = "no_bucket"  # Redis was empty
    OTHER_FORMAT = "other_format"  # of another version, or another number of partitions
    OTHER_LOG = "other_log"  # the event log was made anew
    STREAM_EPOCH = "stream_epoch"  # the CDC service began one
    CHAIN_GAP = "chain_gap"  # records are missing
    LOG_GAP = "log_gap"  # the log itself says that records are missing
    EVICTIONS_LOST = "evictions_lost"  # somebody deleted a key of ours


class InvalidatorError(Exception):
    """Why the invalidator does not follow the log.

    InvalidatorError
    ├── NothingToFollowError  the log has no record to begin at: try again
    ├── OtherOwnerError       the bucket belongs to another database: a person has to act
    └── MemoryPolicyError     Redis may throw away what must stay: a person has to act
    """


class NothingToFollowError(InvalidatorError):
    """The event log holds no record to begin at."""


class OtherOwnerError(InvalidatorError):
    """The bucket belongs to another database. The text says what to do."""


class MemoryPolicyError(InvalidatorError):
    """Redis would delete keys that must stay, to make room. The text says what to set."""
