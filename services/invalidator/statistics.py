"""What the invalidator tells about itself. Plain attributes, read when somebody asks."""

from services.shared.keyspace.outcome import Outcome
from services.shared.runtime.telemetry import Telemetry

_COUNTS = {
    "records": "Log records that were applied to the bucket.",
    "duplicates": "Log records that were found applied, by a twin or before a restart.",
    "ignored": "Log records of a history that has been left.",
    "undecodable": "Log records that are no events of a known kind.",
    "dead_letters": "Log records that could not be read and are told of in Redis.",
    "dead_letters_lost": "Log records that could not be read, and neither could that be written to Redis.",
    "evicted_tags": "Tags that were evicted.",
    "evicted_relations": "Evictions of relations as a whole.",
    "watermarks": "Watermarks that were applied.",
    "rewinds": "Times that the bucket was found elsewhere than expected and was read from its own place.",
    "reloads": "Times that evictions were planned anew because shapes had been registered.",
    "adoptions": "Times that the bucket was taken over as it stood: at a start, after a loss, in a new epoch.",
    "rotations": "Times that the older half of the evictions was forgotten.",
    "swept": "Members of indexes that were found dead and removed.",
}
_GAUGES = {
    "following": "Whether the log is being followed.",
    "watermark_lsn": "The last watermark applied, as a number.",
}


MOST_TABLES = 200
"""Labels of a metric should stay few; tables that are met with later are counted as `other`."""


class InvalidatorStatistics:
    """Counts and the present state; `trouble` says in words what is wrong, empty if nothing is.

    Attributes:
        epochs: How often a bucket epoch was begun, by reason.
        widened: How many records evicted all reads of some form, whatever their values, by table.
    """

    def __init__(self) -> None:
        self.records = 0
        self.duplicates = 0
        self.ignored = 0
        self.undecodable = 0
        self.dead_letters = 0
        self.dead_letters_lost = 0
        self.evicted_tags = 0
        self.evicted_relations = 0
        self.watermarks = 0
        self.rewinds = 0
        self.reloads = 0
        self.adoptions = 0
        self.rotations = 0
        self.swept = 0
        self.following = 0
        self.watermark_lsn = 0
        self.epochs: dict[str, int] = {}
        self.widened: dict[str, int] = {}
        self.trouble = "it has not begun"

    def count_outcome(self, outcome: Outcome) -> None:
        """Count what became of a record."""
        if outcome is Outcome.APPLIED:
            self.records += 1
        elif outcome is Outcome.DUPLICATE:
            self.duplicates += 1
        elif outcome is Outcome.REWIND:
            self.rewinds += 1
        elif outcome is Outcome.RELOAD:
            self.reloads += 1

    def count_epoch(self, reason: str) -> None:
        """Count an epoch that was begun."""
        self.epochs[reason] = self.epochs.get(reason, 0) + 1

    def count_widened(self, table: str) -> None:
        """Count a record of which a value is not known that decides what it evicts."""
        label = table if table in self.widened or len(self.widened) < MOST_TABLES else "other"
        self.widened[label] = self.widened.get(label, 0) + 1

    def health(self) -> str | None:
        """Return None if the log is followed, else what is in the way."""
        return self.trouble or None

    def register(self, telemetry: Telemetry) -> None:
        """Show everything to whoever asks for metrics and readiness."""
        telemetry.counts("invalidator", self, _COUNTS)
        telemetry.counts_by(
            "invalidator", "epochs", "reason", "Bucket epochs begun: each is a cold cache.", lambda: self.epochs
        )
        description = (
            "Log records that evicted all reads of some form, since they do not tell which: see tidegate check."
        )
        telemetry.counts_by("invalidator", "widened", "table", description, lambda: self.widened)
        for name, description in _GAUGES.items():

            def read(name: str = name) -> float:
                return float(getattr(self, name))

            telemetry.gauge("invalidator", name, description, read)
        telemetry.readiness_check("invalidator", self.health)
