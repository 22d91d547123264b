"""Python imports this at its start, in every process of a stack that a fault is tried on, and in no other."""

import os

from tests.changes.faults import FAULTS, VARIABLE

if os.environ.get(VARIABLE):
    FAULTS[os.environ[VARIABLE]].make()
