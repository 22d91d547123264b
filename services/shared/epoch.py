"""The stream epoch: the history in which LSNs, positions and watermarks are comparable (contract, section 8).

Every record of the event log carries its stream epoch as text, and the text is its attributes, so that whoever reads a
single record (an invalidator that starts on an empty Redis, say) knows them all.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamEpoch:
    """What identifies a history of one database, as the CDC service found it when the epoch began.

    Attributes:
        system: System identifier of the cluster (decimal).
        database: OID of the database.
        timeline: Eight hexadecimal digits, the start of the current WAL file's name.
        canary: The random row of the unlogged canary table.
        slot: Name of the replication slot.
        log: Identity of the event log (topic id; another one when it was re-created).
    """

    system: str
    database: int
    timeline: str
    canary: str
    slot: str
    log: str

    def __str__(self) -> str:
        return f"{self.system}/{self.database}/{self.timeline}/{self.canary}/{self.slot}/{self.log}"

    @classmethod
    def parse(cls, text: str) -> "StreamEpoch":
        """Read what `str(epoch)` wrote.

        Raises:
            ValueError: The text does not have six parts, or the database is not a number.
        """
        parts = text.split("/")
        if len(parts) != 6 or not all(parts):
            raise ValueError(f"not a stream epoch: {text!r}")
        system, database, timeline, canary, slot, log = parts
        return cls(system, int(database), timeline, canary, slot, log)
