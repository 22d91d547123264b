"""The names of a cache's keys in Redis. Consistency contract, section 6.

All keys of a cache share one hash tag, so that a script may touch any of them on a Redis Cluster. They carry the format
version of the keyspace: a version that lays things out otherwise makes keys of its own, and never reads these.
"""

from dataclasses import dataclass

FORMAT_VERSION = 1
"""Version of the layout of keys, entries and feed items."""

SENTINEL = "!epoch"
"""Field of the evictions' hashes that holds the bucket epoch; without it evictions may have been lost with the key."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cache."""

    cache: str

    @property
    def prefix(self) -> str:
        """What every key of the keyspace begins with. The braces are Redis Cluster's hash tag."""
        return f"tidegate:{{{self.cache}}}:{FORMAT_VERSION}:"

    @property
    def meta(self) -> str:
        """Hash: bucket epoch, positions, watermarks, floors, registry version."""
        return f"{self.prefix}m"

    @property
    def shapes(self) -> str:
        """Hash: shape id → the positions from which on it is matched."""
        return f"{self.prefix}r"

    @property
    def followed(self) -> str:
        """Hash: relation → `<publication entry>:<digest of its definition>`."""
        return f"{self.prefix}t"

    @property
    def relation_evictions(self) -> str:
        """Hash: relation → position of its last eviction as a whole."""
        return f"{self.prefix}g"

    def tag_evictions(self, generation: int) -> str:
        """Hash: tag → position of its last eviction, in one of two generations."""
        return f"{self.prefix}l{generation}"

    def index(self, tag: str) -> str:
        """Set: keys of the entries that carry a tag; for freeing memory, never for a decision."""
        return f"{self.prefix}i:{tag}"

    @property
    def index_pattern(self) -> str:
        """Pattern for SCAN that matches every tag's index; a cache's name has no wildcard in it."""
        return f"{self.prefix}i:*"

    def tag_of_index(self, index_key: str) -> str:
        """Return the tag whose index this key is."""
        return index_key.removeprefix(f"{self.prefix}i:")

    def entry(self, key: bytes) -> str:
        """Hash: one answer with what it depends on."""
        return f"{self.prefix}e:{key.hex()}"

    @property
    def cancel_channel(self) -> str:
        """Channel on which workers tell each other of cancel requests. No key, and the same in every version."""
        return f"tidegate:{{{self.cache}}}:cancel"

    @property
    def dead_letters(self) -> str:
        """Stream: what could not be read of the log, for people. The same in every version."""
        return f"tidegate:{{{self.cache}}}:dead"

    @property
    def quarantine(self) -> str:
        """Hash: id → a template whose answers are not cached, for one was proven wrong. The same in every version."""
        return f"tidegate:{{{self.cache}}}:quarantine"

    def feed(self, partition: int) -> str:
        """Stream: one item per applied log record of a partition, its id the record's position."""
        return f"{self.prefix}f:{partition}"


def format_text(partition_count: int) -> str:
    """Return the format that the bucket and its entries carry: positions of another partition count do not compare."""
    return f"{FORMAT_VERSION}/{partition_count}"
