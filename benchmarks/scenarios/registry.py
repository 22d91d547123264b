"""All scenarios of the suite, in the order in which they run and stand in the results."""

from benchmarks.measurement import Scenario
from benchmarks.scenarios.hits import BLOCKS, HITS

SCENARIOS: tuple[Scenario, ...] = (HITS, BLOCKS)
