"""Python imports this at its start, in every process of a stack that a fault is tried on, and in no other."""

import os

from tests.changes.faults import FAULTS, VARIABLE

if os.environ.get(VARIABLE):
    try:
        FAULTS[os.environ[VARIABLE]].make()
    except AttributeError as error:  # Python would go on without the fault
        raise SystemExit(f"there is nothing to break any more: {error}") from error
