"""Messages recorded from real servers by `record_samples.py`, in the order in which they came."""

import json
from pathlib import Path

_FOLDER = Path(__file__).parent / "samples"


def recorded_sessions() -> list[tuple[str, list[bytes]]]:
    """Return what each server sent, with a name: whole transactions ("plain") and pieces of them ("streamed")."""
    sessions = []
    for file in sorted(_FOLDER.glob("*.json")):
        recorded = json.loads(file.read_text())
        for part in ("plain", "streamed"):
            sessions.append((f"{file.stem} {part}", [bytes.fromhex(message) for message in recorded[part]]))
    return sessions
