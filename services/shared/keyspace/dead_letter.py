"""What is told of a log record that nobody could read: where it stands and what is wrong with it. Pure.

Nothing of the record itself, which may be an application's data.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

KEPT_LETTERS = 1_000
"""How many are kept: enough to see what is going on, some 300 KiB."""

_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that could not be read.

    Attributes:
        when: When that was found, by the reader's clock.
        partition, place: Where it stands in the log.
        length: Of the record, in bytes.
        sha256: Of the record, in hexadecimal digits.
        error: What is wrong with it. Names fields, quotes no values.
    """

    when: datetime
    partition: int
    place: str
    length: int
    sha256: str
    error: str

    @property
    def record(self) -> tuple[int, str, str]:
        """What is the same for every letter about one record."""
        return self.partition, self.place, self.sha256


def dead_letter(partition: int, place: str, value: bytes, error: str) -> DeadLetter:
    """Write a letter about a record.

    Args:
        partition: Where it stands in the log.
        place: Where it stands in the partition.
        value: The record.
        error: What is wrong with it, without values.
    """
    return DeadLetter(
        datetime.now(UTC), partition, place, len(value), sha256(value).hexdigest(), error[:_ERROR_CHARACTERS]
    )
