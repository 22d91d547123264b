"""Writes the committed corpus of the wire codec's fuzz targets anew.

    python -m tests.fuzz.write_pgwire_corpus

Seeds are well-formed streams, so that mutations start deep inside the decoders; `hostile-` files are shapes of attack,
and inputs that once broke an invariant are added by hand under `crash-` and never removed.
"""

from pathlib import Path

from services.shared.pgwire.framing import frame
from tests.unit.pgwire.examples import BACKEND, FRONTEND, STARTUP

CORPUS = Path(__file__).parent / "corpus" / "pgwire"
SESSIONS = Path(__file__).parent.parent / "unit" / "pgwire" / "sessions"
_SESSION_BYTES = 3_000  # of each recording; enough for the whole of a start-up and some turns

HOSTILE: dict[str, dict[str, bytes]] = {
    "startup": {
        "empty": b"",
        "length-0": bytes(4),
        "length-7": b"\0\0\0\7\0\3\0",
        "length-negative": b"\xff\xff\xff\xff\0\3\0\0",
        "length-10005": b"\0\0\x27\x15\0\3\0\0",
        "tls-client-hello": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        "http": b"GET / HTTP/1.1\r\nHost: db\r\n\r\n",
        "proxy-header": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 5432\r\n",
        "version-2": b"\0\0\x01\x28\0\2\0\0" + bytes(288),
        "no-terminator": b"\0\0\0\x10\0\3\0\0user\0ada",
        "bytes-after-terminator": b"\0\0\0\x14\0\3\0\0user\0ada\0\0\0x",
        "value-missing": b"\0\0\0\x0e\0\3\0\0user\0\0",
        "not-utf8": b"\0\0\0\x12\0\3\0\0\xff\xfe\0\xed\xa0\x80\0\0\0",
        "cancel-without-key": b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\1",
        "cancel-key-257": b"\0\0\x01\x0d\x04\xd2\x16\x2e\0\0\0\1" + bytes(257),
        "ssl-with-body": b"\0\0\0\x09\x04\xd2\x16\x2fx",
        "stuffed": b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x09\0\3\0\0\0",
    },
    "frontend": {
        "length-0": b"Q\0\0\0\0",
        "length-2gib": b"Q\x7f\xff\xff\xffx",
        "length-negative": b"Q\xff\xff\xff\xffx",
        "good-then-bad": b"S\0\0\0\4Q\x80\0\0\0",
        "query-without-nul": frame(ord("Q"), b"SELECT 1"),
        "query-two-nuls": frame(ord("Q"), b"SELECT 1\0\0"),
        "parse-count-lies": frame(ord("P"), b"\0\0\xff\xff"),
        "bind-formats-lie": frame(ord("B"), b"\0\0\xff\xff\0\0"),
        "bind-values-lie": frame(ord("B"), b"\0\0\0\0\xff\xff"),
        "bind-value-2gib": frame(ord("B"), b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"),
        "bind-value-minus-2": frame(ord("B"), b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"),
        "bind-formats-mismatch": frame(ord("B"), b"\0\0\0\2\0\0\0\1\0\1\xff\xff\xff\xff\0\0"),
        "bind-all-null": frame(ord("B"), b"\0\0\0\0\x03\xe8" + b"\xff" * 4 * 1000 + b"\0\0"),
        "describe-subtype": frame(ord("D"), b"X\0"),
        "sync-with-body": frame(ord("S"), b"x"),
        "unknown-type": frame(0xFF, b"?"),
        "password-empty": frame(ord("p")),
        "execute-short": frame(ord("E"), b"\0\0\0"),
    },
    "backend": {
        "length-0": b"D\0\0\0\0",
        "length-2gib": b"D\x7f\xff\xff\xff",
        "bodiless-with-body": frame(ord("1"), b"x"),
        "ready-x": b"Z\0\0\0\5X",
        "row-count-lies": frame(ord("D"), b"\xff\xff"),
        "columns-lie": frame(ord("T"), b"\xff\xffid\0"),
        "options-lie": frame(ord("v"), b"\0\3\0\0\xff\xff\xff\xff"),
        "error-without-end": frame(ord("E"), b"SERROR\0"),
        "error-empty": frame(ord("E")),
        "sasl-without-end": frame(ord("R"), b"\0\0\0\x0aSCRAM\0"),
        "md5-short-salt": frame(ord("R"), b"\0\0\0\5abc"),
        "key-short": frame(ord("K"), b"\0\0\0\1abc"),
        "old-error": b"Ecould not fork new process for connection\n\0",
        "rows-and-half": frame(ord("D"), b"\0\1\0\0\0\1x") * 20 + b"D\0\0\0",
    },
}


def main() -> None:
    """Write seeds and hostile files; leave `crash-` files alone."""
    seeds = {
        "startup": [raw for _, raw in STARTUP],
        "frontend": [raw for _, raw in FRONTEND],
        "backend": [raw for _, raw in BACKEND],
    }
    for target, raws in seeds.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "seed-examples.bin").write_bytes(b"".join(raws))
        for name, raw in HOSTILE[target].items():
            (folder / f"hostile-{name}.bin").write_bytes(raw)
    for path in sorted(SESSIONS.glob("*-18.*.bin")):
        name, direction, _ = path.name.split(".")
        raw = path.read_bytes()[:_SESSION_BYTES]
        if direction == "frontend":
            length = int.from_bytes(raw[:4], "big")
            (CORPUS / "startup" / f"seed-{name}.bin").write_bytes(raw[:length])
            raw = raw[length:]
        (CORPUS / direction / f"seed-{name}.bin").write_bytes(raw)


if __name__ == "__main__":
    main()
