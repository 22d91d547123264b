"""The rows of the matrix in `docs/drivers.md`, made from what the clients of the ring are shown to do."""

from tests.drivers.clients import Client
from tests.drivers.program import DriverProgram

_SHOWN, _NOT = "✓", "–"

# Column by column: the functions that show it. One that a program lacks leaves the column empty.
_COLUMNS: dict[str, tuple[str, ...]] = {
    "simple": ("row_simple",),
    "unprepared": ("row_unprepared",),
    "prepared": ("row_prepared",),
    "binary": ("row_binary",),
    "transactions": ("transaction_reads", "commit", "rollback", "read_then_write"),
    "savepoints": ("savepoint",),
    "pipelines": ("pipeline", "pipeline_of_both", "pipeline_with_an_error"),
    "batches": ("batch",),
    "fetched in parts": ("cursor",),
    "COPY": ("copy_in", "copy_out"),
    "LISTEN": ("listen",),
}
_CANCELLING = ("cancel", "cancel_by_task")

HEADER = " | ".join(("| client", "version", *_COLUMNS, "cancel", "SCRAM", "TLS", "bound |"))
RULE = "|" + "---|" * (len(_COLUMNS) + 6)


def matrix_row(client: Client, program: DriverProgram) -> str:
    """Return a client's row."""
    shown = [_mark(not set(functions) & set(client.lacks)) for functions in _COLUMNS.values()]
    cancels = _mark(not set(_CANCELLING) <= set(client.lacks))
    every_client = (_SHOWN, _SHOWN)  # SCRAM and TLS, which both rings use with all of them
    bound = _mark(client.binds)
    return " | ".join((f"| {program.driver}", program.version, *shown, cancels, *every_client, f"{bound} |"))


def _mark(shown: bool) -> str:
    return _SHOWN if shown else _NOT
