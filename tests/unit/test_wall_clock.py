"""The wall clock decides nothing: who reads it is listed here, with what for.

It jumps when somebody sets it, and differs from host to host. Freshness, waits and ages go by CLOCK_BOOTTIME and the
monotonic clock of one host (consistency contract, section 3). The suite of faults has it jump (`docs/chaos.md`).
"""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_READS = re.compile(
    r"\btime\.time(_ns)?\b|\bdatetime\.(now|utcnow|today)\b|\bdate\.today\b|CLOCK_REALTIME|\blocaltime\(|\bgmtime\("
    r"|from time import [^\n]*\btime\b|'TIME'"
)

_ALLOWED = {
    "services/cdc/publisher.py": "the time of a DDL in its event, for people",
    "services/proxy/audit/command.py": "how long ago a template was quarantined, before a person releases it",
    "services/shared/keyspace/dead_letter.py": "when a record could not be read, for people",
    "services/shared/keyspace/entry.py": "when an entry was filled, for people",
    "services/shared/keyspace/lua/new_epoch.lua": "Redis's own clock: when to rotate, which is right at any moment",
    "services/shared/keyspace/lua/rotate.lua": "the same",
    "services/shared/keyspace/quarantined.py": "since when a template is quarantined, for people",
    "services/standalone/data_directory.py": "how long a socket's directory has lain there, against its own time stamp",
    "services/standalone/output.py": "time stamps in logs",
    "services/standalone/self_signed.py": "from when to when a certificate is valid",
    "services/tail/command.py": "the age of a commit, for people",
}


def test_nobody_else_reads_the_wall_clock() -> None:
    paths = [path for suffix in ("py", "lua") for path in (_ROOT / "services").rglob(f"*.{suffix}")]
    found = {str(path.relative_to(_ROOT)) for path in paths if _READS.search(path.read_text(encoding="utf-8"))}
    assert found == set(_ALLOWED)
