"""Lines as text: in columns for people, or one JSON object each for programs. Pure."""

import json
from datetime import datetime

from services.tail.line import Line, LineKind
from services.tail.values import printable

_KIND_WIDTH = max(len(kind) for kind in LineKind)
_OPERATION_WIDTH = len("unfollowed")
_WIDEST_TABLE = 32
_NO_TIME = "-" * len("00:00:00.000")

_DIM, _BOLD, _RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _END = (
    f"\x1b[{code}m" for code in ("2", "1", "31", "32", "33", "34", "35", "0")
)
_COLOURS = {
    LineKind.EVICT: _MAGENTA,
    LineKind.FOLLOW: _BLUE,
    LineKind.WATERMARK: _DIM,
    LineKind.BEGIN: _BOLD,
    LineKind.DEAD: _RED,
    LineKind.NOTE: _BOLD,
}
_CHANGE_COLOURS = {"insert": _GREEN, "update": _YELLOW, "delete": _RED}


class Columns:
    """Writes lines for people; the table's column grows with what comes."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured
        self._table_width = 0

    def __call__(self, line: Line) -> str:
        """Write one line, without its end."""
        time = _NO_TIME if line.at is None else _clock_time(line.at)
        words = [time, f"{line.kind:<{_KIND_WIDTH}}"]
        if line.table:
            table = printable(line.table)
            self._table_width = min(max(self._table_width, len(table)), _WIDEST_TABLE)
            words += [f"{table:<{self._table_width}}", f"{line.operation:<{_OPERATION_WIDTH}}"]
        text = "  ".join([*words, *map(printable, line.parts)])
        if not self._coloured:
            return text
        colour = _COLOURS.get(line.kind) or _CHANGE_COLOURS.get(line.operation, _RED)
        return f"{colour}{text}{_END}"


def json_text(line: Line) -> str:
    """Write one line for a program, without its end."""
    told: dict[str, object] = {"kind": line.kind.value}
    if line.at is not None:
        told["at"] = line.at.isoformat()
    if line.table:
        told["table"] = line.table
    if line.operation:
        told["operation"] = line.operation
    return json.dumps(told | dict(line.facts), ensure_ascii=False)


def _clock_time(at: datetime) -> str:
    return f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03}"
