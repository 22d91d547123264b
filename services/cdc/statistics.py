"""What the CDC service tells about itself. Plain attributes, read when somebody asks."""

from services.shared.runtime.telemetry import Telemetry

_COUNTS = {
    "transactions": "Committed transactions that were published.",
    "changes": "Row changes that were published.",
    "wide_changes": "Changes that were published for a relation as a whole.",
    "watermarks": "Watermarks that were published.",
    "heartbeats": "Messages that were written to make Postgres flush its WAL.",
    "unreadable": "Times that the change stream held what cannot be read; nothing is skipped, so it comes again.",
    "incarnations": "Times that the service began.",
    "epochs": "Stream epochs that the service began.",
}
_GAUGES = {
    "held": "Transactions that are decoded and not yet visible.",
    "unacknowledged": "Records that the event log has not acknowledged.",
    "lag_bytes": "WAL between the last watermark and the end of what is inserted.",
    "confirmed_lsn": "Where Postgres was told to forget the WAL below, as a number.",
    "connected": "Whether changes are being followed.",
    "followed": "Tables whose answers may be cached.",
    "left_out": "Tables whose answers cannot be cached.",
}


class CdcStatistics:
    """Counts and the present state; `trouble` says in words what is wrong, empty if nothing is."""

    def __init__(self) -> None:
        self.transactions = 0
        self.changes = 0
        self.wide_changes = 0
        self.watermarks = 0
        self.heartbeats = 0
        self.unreadable = 0
        self.incarnations = 0
        self.epochs = 0
        self.held = 0
        self.unacknowledged = 0
        self.lag_bytes = 0
        self.confirmed_lsn = 0
        self.connected = 0
        self.followed = 0
        self.left_out = 0
        self.trouble = "it has not begun"

    def health(self) -> str | None:
        """Return None if changes are followed and watermarks flow, else what is in the way."""
        return self.trouble or None

    def register(self, telemetry: Telemetry) -> None:
        """Show everything to whoever asks for metrics and readiness."""
        telemetry.counts("cdc", self, _COUNTS)
        for name, description in _GAUGES.items():

            def read(name: str = name) -> float:
                return float(getattr(self, name))

            telemetry.gauge("cdc", name, description, read)
        telemetry.readiness_check("cdc", self.health)
