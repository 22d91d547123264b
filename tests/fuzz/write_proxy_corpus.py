"""Writes the committed corpus of the proxy's fuzz targets anew.

    python -m tests.fuzz.write_proxy_corpus

Seeds are well-formed streams; `hostile-` files are shapes of attack, and inputs that once broke an invariant are added
by hand under `crash-` and never removed.
"""

from pathlib import Path

from services.shared.pgwire.backend import BIND_COMPLETE, PARSE_COMPLETE, READY_FOR_QUERY, CommandComplete, DataRow
from services.shared.pgwire.backend import CopyData as ServerCopyData
from services.shared.pgwire.codes import TransactionStatus
from services.shared.pgwire.framing import frame
from services.shared.pgwire.frontend import (
    FLUSH,
    SYNC,
    TERMINATE,
    Bind,
    CopyData,
    CopyDone,
    CopyFail,
    Execute,
    FunctionCall,
    Parse,
    Query,
)
from tests.fuzz.fuzz_proxy import SMALL_LIMIT

CORPUS = Path(__file__).parent / "corpus" / "proxy"
SESSIONS = Path(__file__).parent.parent / "unit" / "pgwire" / "sessions"
_SESSION_BYTES = 1_500  # what mutations look at

_LONG = b"x" * (2 * SMALL_LIMIT)
_EXTENDED = Parse(b"", b"SELECT $1", (23,)).encode() + Bind(b"", b"", (), (b"7",), ()).encode() + Execute(b"").encode()
_READY = READY_FOR_QUERY[TransactionStatus.IDLE]

INPUTS: dict[str, dict[str, bytes]] = {
    "turns": {
        "seed-pipeline": (_EXTENDED + SYNC) * 3 + _EXTENDED + FLUSH + _EXTENDED + SYNC + Query(b"SELECT 1").encode(),
        "seed-copy": Query(b"COPY t FROM STDIN").encode()
        + CopyData(b"1\n").encode() * 3
        + FLUSH
        + CopyData(_LONG).encode()
        + CopyDone().encode()
        + SYNC
        + _EXTENDED
        + CopyData(b"2\n").encode()
        + CopyFail("no").encode()
        + SYNC,
        "seed-long": Query(_LONG).encode()
        + Bind(b"", b"", (), (_LONG,), ()).encode()
        + _EXTENDED * 4
        + SYNC
        + FunctionCall(1, (), (_LONG,), 0).encode()
        + TERMINATE,
        "hostile-alone-inside-turn": _EXTENDED + Query(b"SELECT 1").encode() + _EXTENDED + TERMINATE + SYNC,
        "hostile-copy-unasked": CopyData(_LONG).encode() + CopyDone().encode() * 3 + SYNC * 2,
        "hostile-flushes": FLUSH * 100,
        "hostile-header-only": Query(_LONG).encode()[:5],
        "hostile-length-0-after-turn": _EXTENDED + SYNC + b"Q\0\0\0\0",
        "hostile-length-1gib": b"Q\x3f\xff\xff\xfe" + bytes(300),
        "hostile-length-1gib-copy": b"d\x3f\xff\xff\xfe" + bytes(300),
        "hostile-sync-with-body": frame(ord("S"), bytes(SMALL_LIMIT - 5)),
        "hostile-sync-too-long": frame(ord("S"), _LONG),
        "hostile-syncs": SYNC * 100,
        "hostile-unknown-inside-turn": _EXTENDED + frame(0, b"?") + SYNC,
    },
    "relay": {
        "seed-rows": (PARSE_COMPLETE + BIND_COMPLETE + DataRow((b"1", None)).encode() * 5)
        + DataRow((_LONG,)).encode()
        + CommandComplete("SELECT 6").encode()
        + _READY,
        "seed-copy-out": ServerCopyData(b"1\n").encode() * 5 + ServerCopyData(_LONG).encode() + _READY,
        "seed-long": frame(ord("N"), _LONG) + frame(ord("N"), bytes(SMALL_LIMIT - 4)) + frame(ord("N"), _LONG) + _READY,
        "hostile-length-0": _READY + b"Z\0\0\0\0",
        "hostile-length-3": b"C\0\0\0\3" + _READY,
        "hostile-length-4gib": b"N\xff\xff\xff\xff" + bytes(300),
        "hostile-row-length-4gib": b"D\xff\xff\xff\xff" + bytes(300),
        "hostile-row-length-0-in-run": DataRow((b"1",)).encode() * 3 + b"D\0\0\0\0",
        "hostile-row-header-cut": DataRow((b"1",)).encode() * 3 + b"D\0\0",
        "hostile-tls-alert": b"\x15\x03\x03\0\2\2\x28",
    },
}


def main() -> None:
    """Write seeds and hostile files; leave `crash-` files alone."""
    for target, inputs in INPUTS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, raw in inputs.items():
            (folder / f"{name}.bin").write_bytes(raw)
    for name in ("asyncpg-18", "psycopg-18"):
        sent = (SESSIONS / f"{name}.frontend.bin").read_bytes()
        sent = sent[int.from_bytes(sent[:4], "big") :]  # behind the start-up packet
        (CORPUS / "turns" / f"seed-{name}.bin").write_bytes(sent[:_SESSION_BYTES])
        answered = (SESSIONS / f"{name}.backend.bin").read_bytes()
        (CORPUS / "relay" / f"seed-{name}.bin").write_bytes(answered[:_SESSION_BYTES])


if __name__ == "__main__":
    main()
