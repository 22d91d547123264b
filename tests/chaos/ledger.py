"""What was played, kept beside the code that it was played on: rows can be played one by one, in any order.

A row counts for as long as nothing in `services/` and `schemas/` changes; it lies in `.cache/chaos/`, in a file that is
named by a digest of those. Played again, it replaces the one from before.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.play import Outcome

_ROOT = Path(__file__).parents[2]
_CODE = ("services", "schemas")
_SUFFIXES = (".py", ".lua", ".sql", ".json")

ROWS, BITES = "rows", "bites"


class Ledger:
    """The outcomes that count for the code as it is.

    Attributes:
        rows: On sound stacks, by name of the fault and place of the event log.
        bites: On broken ones, by the broken cache.
    """

    def __init__(self, path: Path) -> None:
        """Open it; what it holds already is read."""
        self._path = path
        kept: dict[str, dict[str, dict[str, Any]]] = json.loads(path.read_text()) if path.exists() else {}
        self.rows = _outcomes(kept.get(ROWS, {}))
        self.bites = _outcomes(kept.get(BITES, {}))

    def add_row(self, outcome: Outcome) -> None:
        """Note what was played on a sound stack."""
        self.rows[row_key(outcome.fault, outcome.log)] = outcome
        self._write()

    def add_bite(self, name: str, outcome: Outcome) -> None:
        """Note what was played on a broken one."""
        self.bites[name] = outcome
        self._write()

    def _write(self) -> None:
        kept = {
            kind: {key: asdict(outcome) | {"details": outcome.details[:20]} for key, outcome in found.items()}
            for kind, found in ((ROWS, self.rows), (BITES, self.bites))
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def row_key(fault: str, log: str) -> str:
    """Return what a row is known by."""
    return f"{fault} ({log.lower()})"


def in_order(found: Mapping[str, Outcome], order: Iterable[str]) -> dict[str, Outcome]:
    """Return outcomes in an order; those that are not in it are not played any more, and left out."""
    return {key: found[key] for key in order if key in found}


def ledger_of_code(root: Path = _ROOT) -> Ledger:
    """Open the ledger of the code as it is."""
    digest = hashlib.sha256()
    for folder in _CODE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _SUFFIXES:
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return Ledger(root / ".cache" / "chaos" / f"{digest.hexdigest()[:16]}.json")


def _outcomes(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, Outcome]:
    found = {}
    for key, fields in kept.items():
        values: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in fields.items()}
        found[key] = Outcome(**values)
    return found
