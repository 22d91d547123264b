"""What the fuzz targets share: how an input is cut, how a broken invariant is told, how atheris is started."""

import importlib
import sys
from collections.abc import Callable, Mapping

Target = Callable[[bytes], bool]


def expect(holds: bool, claim: str) -> None:
    """Tell of a broken invariant, also under `python -O`."""
    if not holds:
        raise AssertionError(claim)


def chunks_of(data: bytes) -> list[bytes]:
    """Let the input itself choose how it is cut: 1 to 64 bytes."""
    size = 1 + data[-1] % 64 if data else 1
    return [data[at : at + size] for at in range(0, len(data), size)]


def search(targets: Mapping[str, Target]) -> None:
    """Hand the target that the command line names to atheris, which reads the rest of it."""
    atheris = importlib.import_module("atheris")
    target = targets[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: target(data) and None)
    atheris.Fuzz()
