"""Durations and sizes as people write them: `200ms`, `1s`, `10min`; `512KiB`, `64MiB`, `1GB`."""

import re

_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Zµ]*)\s*")

_SECONDS_PER_UNIT = {
    "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip
_BYTES_PER_UNIT = {
    "": 1, "b": 1,
    "kb": 1000, "mb": 1000**2, "gb": 1000**3,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3,
}  # fmt: skip


def parse_duration(value: object) -> float:
    """Return a duration in seconds; a bare number is seconds.

    Raises:
        ValueError: It is not a duration. The message does not repeat the value.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    number, unit = _split(value, "a duration such as 200ms, 1s or 10min")
    if unit not in _SECONDS_PER_UNIT:
        raise ValueError("its unit should be one of us, ms, s, min, h, d")
    return number * _SECONDS_PER_UNIT[unit]


def parse_size(value: object) -> int:
    """Return a size in bytes; a bare number is bytes.

    Raises:
        ValueError: It is not a size. The message does not repeat the value.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number, unit = _split(value, "a size such as 512KiB or 64MiB")
    if unit.lower() not in _BYTES_PER_UNIT:
        raise ValueError("its unit should be one of B, KB, MB, GB, KiB, MiB, GiB")
    return int(number * _BYTES_PER_UNIT[unit.lower()])


def format_duration(seconds: float) -> str:
    """Write a duration for a person, in a form that `parse_duration` reads."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g}min"
    return f"{seconds:g}s"


def format_size(size: int) -> str:
    """Write a size in bytes for a person, in a form that `parse_size` reads."""
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size >= length:
            return f"{size / length:.4g}{unit}"
    return f"{size}B"


def _split(value: object, wanted: str) -> tuple[float, str]:
    match = _NUMBER_AND_UNIT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"it should be {wanted}")
    return float(match[1]), match[2]
