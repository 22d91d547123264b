"""Garbage in cycles is looked for seldom, and still found."""

import subprocess
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[3]
_PROGRAM = """
import gc, weakref
from services.shared.runtime.garbage import YOUNG_OBJECTS, collect_seldom

class Node: ...

collect_seldom()
assert gc.get_freeze_count() > 0
node = Node()
node.itself = node
found = weakref.ref(node)
del node
kept = [[] for _ in range(YOUNG_OBJECTS + 1_000)]
assert found() is None
"""


def test_a_cycle_is_found_once_many_more_objects_live() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=_REPOSITORY, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
