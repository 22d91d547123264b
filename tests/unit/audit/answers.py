"""Answers made by hand."""

from services.proxy.cache.entry import Answer
from services.shared.pgwire.backend import PortalSuspended
from services.shared.pgwire.rows import CommandComplete, DataRow


def answer(*rows: bytes, description: bytes = b"", cut: bool = False) -> Answer:
    """Make an answer of rows with one value each; `cut`: by the client's row limit."""
    complete = PortalSuspended() if cut else CommandComplete(f"SELECT {len(rows)}")
    return Answer(description, b"".join(DataRow((value,)).encode() for value in rows), complete.encode())
